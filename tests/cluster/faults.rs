//! What can go wrong with a node agent and around it, under load: no packet that is denied passes, and no connection
//! that is permitted breaks.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::cluster::{
    Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually, manifests, other_abi, pod_namespaces,
};
use tests::load::{Load, Sum, connections, received, senders};

/// The server admits the client on one port, and nobody else.
const POLICY: &str = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 7070}]}]
";
const PERMITTED: u16 = 7070;
const DENIED: u16 = 9999;
/// Of each family.
const CONNECTIONS: usize = 2;
/// How long a fault lasts, and how long the API server is away.
const FAULT: Duration = Duration::from_secs(5);
const OUTAGE: Duration = Duration::from_secs(60);
const RIVAL: &str = "etc/kubernetes/manifests/rival.yaml";

/// `shop` and `rival` are two tenants. `shop/open` has no policy: only its tenancy keeps `rival` out.
fn world() -> String {
    let pod = |name: &str, node| manifests::pod("shop", name, node, &format!("app: {name}"), "pause");
    let namespaces = ["shop", "rival"].map(|name| manifests::namespace(name, name)).concat();
    namespaces + &pod("server", 2) + &pod("open", 2) + &pod("client", 1) + &pod("attacker", 1) + POLICY
}

/// One line of the table.
struct Row {
    fault: &'static str,
    sent: u64,
    leaked: usize,
    answered: u64,
    broken: u64,
}

struct Bench {
    agents: Option<[Agent; 2]>,
    server: PodNetwork,
    open: PodNetwork,
    client: PodNetwork,
    attacker: PodNetwork,
    // Dropped after what runs on it.
    cluster: Cluster,
}

impl Bench {
    fn new() -> Self {
        let cluster = Cluster::up(Proxy::Iptables);
        cluster.apply(&world());
        cluster.wait_for_pods("shop");
        let [server, open, client, attacker] =
            ["server", "open", "client", "attacker"].map(|name| PodNetwork::find(&cluster, "shop", name));
        let mut bench = Self { agents: None, server, open, client, attacker, cluster };
        let denied = receivers(&bench.server);
        let probe = || bench.denied_datagrams_arrive(&denied);
        assert!(probe(), "without an agent everything arrives");
        bench.start_agents();
        let probe = || bench.denied_datagrams_arrive(&denied);
        eventually("the policy is enforced", 60, || (!probe()).then_some(()));
        bench
    }

    fn denied_datagrams_arrive(&self, at: &[UdpSocket; 2]) -> bool {
        let from = self.attacker.run(|| senders(self.attacker.addresses, self.server.addresses, DENIED));
        from.iter().for_each(|(socket, to)| drop(socket.send_to(b"probe", to)));
        sleep(Duration::from_millis(300));
        at.iter().map(received).sum::<usize>() > 0
    }

    fn start_agents(&mut self) {
        self.start_agents_of(env!("CARGO_BIN_EXE_tested-bulkhead"));
    }

    fn start_agents_of(&mut self, binary: &str) {
        self.agents = Some(Agent::start_everywhere(&self.cluster, binary, TEAMS));
    }

    /// The agents of another build take over, on maps of their own.
    fn change_to(&mut self, binary: &str) {
        let folders = |bench: &Self| bench.cluster.run(Place::Node(2), "ls /sys/fs/bpf/bulkhead");
        let before = folders(self);
        self.end_agents(Signal::SIGTERM);
        self.start_agents_of(binary);
        eventually("the maps of the other build are in use, and the old ones gone", 60, || {
            let now = folders(self);
            (now != before && now.split_whitespace().count() == 2).then_some(())
        });
    }

    fn end_agents(&mut self, signal: Signal) {
        self.agents.iter_mut().flatten().for_each(|agent| agent.end(signal));
    }

    /// Floods and talks while `fault` happens and a while longer.
    fn row(&mut self, fault: &'static str, happens: impl FnOnce(&mut Self)) -> Row {
        let denied = receivers(&self.server);
        let flood = self.attacker.run(|| senders(self.attacker.addresses, self.server.addresses, DENIED));
        let pairs = connections(&self.client.netns, &self.server.netns, self.server.addresses, PERMITTED, CONNECTIONS);
        let load = Load::default();
        load.during(&flood, pairs, || {
            sleep(Duration::from_secs(1));
            happens(self);
            sleep(FAULT);
        });
        let leaked = denied.iter().map(received).sum();
        let Sum { sent, answered, broken } = load.sum();
        let row = Row { fault, sent, leaked, answered, broken };
        println!("{row}");
        row
    }

    /// A pod of another tenant starts while nobody can ask who it is, and calls.
    fn rival_calls(&self, until: Instant) {
        let manifest = self.cluster.root_of(1).join(RIVAL);
        let before = pod_namespaces(&self.cluster, 1);
        fs::write(&manifest, manifests::pod("rival", "rival", 1, "", "pause")).expect("a static pod");
        let rival = PodNetwork::find_new(&self.cluster, 1, &before);
        let receivers = receivers(&self.open);
        let mut sent = 0;
        while Instant::now() < until {
            for (socket, to) in rival.run(|| senders(rival.addresses, self.open.addresses, DENIED)) {
                sent += u32::from(socket.send_to(b"rival", to).is_ok());
                assert!(!rival.reaches(SocketAddr::new(to.ip(), PERMITTED)), "another tenant is let in");
            }
        }
        let leaked: usize = receivers.iter().map(received).sum();
        println!("a pod of another tenant that nobody knows: {leaked} of {sent} datagrams arrived");
        assert_eq!(leaked, 0);
        fs::remove_file(manifest).expect("the static pod");
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fault, sent, leaked, answered, broken } = self;
        let connections = 2 * CONNECTIONS;
        write!(f, "| {fault} | {leaked} of {sent} | {broken} of {connections} ({answered} requests answered) |")
    }
}

fn receivers(pod: &PodNetwork) -> [UdpSocket; 2] {
    [0, 1].map(|family| pod.udp(family, DENIED))
}

#[test]
fn nothing_leaks_and_nothing_breaks_whatever_fails() {
    let other = other_abi();
    let mut bench = Bench::new();
    println!("| fault | denied packets received | permitted connections broken |\n|---|---|---|");
    let rows = [
        bench.row("none", |_| {}),
        bench.row("both agents killed (SIGKILL), away for a while, started again", |bench| {
            bench.end_agents(Signal::SIGKILL);
            sleep(FAULT);
            bench.start_agents();
        }),
        bench.row("both agents told to end (SIGTERM), and started again", |bench| {
            bench.end_agents(Signal::SIGTERM);
            bench.start_agents();
        }),
        bench.row("upgrade of both agents to a build of another ABI version", |bench| bench.change_to(&other)),
        bench.row("and back", |bench| bench.change_to(env!("CARGO_BIN_EXE_tested-bulkhead"))),
        bench.row("API server away for a minute; a pod of another tenant starts and calls", |bench| {
            bench.cluster.stop("kube-apiserver");
            bench.rival_calls(Instant::now() + OUTAGE);
            bench.cluster.start("kube-apiserver");
        }),
        bench.row("etcd away", |bench| {
            bench.cluster.stop("etcd");
            sleep(FAULT);
            bench.cluster.start("etcd");
        }),
        bench.row("containerd restarted on both nodes", |bench| {
            [1, 2].iter().for_each(|node| bench.cluster.restart_on(*node, "containerd"));
        }),
        bench.row("kube-proxy restarted on both nodes", |bench| {
            [1, 2].iter().for_each(|node| bench.cluster.restart_on(*node, "kube-proxy"));
        }),
    ];
    for row in rows {
        assert_eq!((row.leaked, row.broken), (0, 0), "{}", row.fault);
        assert!(row.sent > 0 && row.answered > 0, "{}: there was a load", row.fault);
    }
}
