//! A hundred pods as fast as the cluster starts them, each of which may send nothing: what escapes before its veth is
//! enforced, counted by a receiver outside of the cluster.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::{Scope, scope, sleep};
use std::time::{Duration, Instant};

use agent::net::NetNs;
use tests::cluster::{AGNHOST, Agent, Cluster, Proxy, TEAMS, eventually, manifests, pod_namespaces};
use tests::measured::quantile;
use tests::until::Until;

const PODS: usize = 100;
const NODES: [u32; 2] = [1, 2];
/// Outside of the cluster, beside the control plane.
const RECEIVER: &str = "10.89.0.1";
/// What a pod's own process calls, and what is sent from inside its network before it runs.
const TCP: u16 = 7070;
const UDP: u16 = 7071;
/// Between two datagrams from inside a pod's network, and for how long they are sent.
const BEAT: Duration = Duration::from_micros(500);
const WATCHED: Duration = Duration::from_secs(2);

const NOTHING_GOES_OUT: &str = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: starts, name: nothing}
spec: {podSelector: {}, policyTypes: [Egress]}
";

/// The pod's own process calls at once, and ends.
fn pod(number: usize) -> String {
    let node = NODES[number % NODES.len()];
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{namespace: starts, name: p{number}}}
spec:
  nodeName: node{node}
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers: [{{name: main, image: \"{AGNHOST}\", args: [connect, --timeout=2s, \"{RECEIVER}:{TCP}\"]}}]
"
    )
}

/// What became of one pod's datagrams.
struct Watched {
    /// From the first that the pod's network took to the last that arrived; zero where none did.
    window: Duration,
    escaped: usize,
}

/// Where datagrams and connections arrive, outside of the cluster.
struct Receiver {
    door: TcpListener,
    datagrams: UdpSocket,
    /// When those were sent that arrived, by sender.
    arrived: Mutex<BTreeMap<IpAddr, Vec<Duration>>>,
}

/// Starts the pods and returns how many of their own processes' connections came.
fn measure(title: &str, flags: &[&str]) -> usize {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(&(manifests::namespace("starts", "starts") + NOTHING_GOES_OUT));
    let _agents = start_agents(&cluster, flags);
    let receiver = Receiver::bind(&cluster);
    let (base, until) = (Instant::now(), Until::default());
    let watched: Vec<Watched> = scope(|scope| {
        let _end = until.dropped();
        scope.spawn(|| receiver.receive(&until));
        let sent = start_pods(&cluster, base, scope);
        let arrived = receiver.arrived.lock().expect("the receiver");
        let of = |ip: &IpAddr| arrived.get(ip).map_or(&[][..], Vec::as_slice);
        sent.iter().map(|(ip, first)| judge(*first, of(ip))).collect()
    });
    let called = receiver.accepted();
    report(title, &watched, called, base.elapsed().as_secs_f64());
    for node in NODES {
        let within = cluster.try_metric(node, "bulkhead_attach_delay_seconds_bucket", &["le=\"0.064\""]);
        println!("node{node}: {within:?} veths enforced within 64 ms of their first sight");
    }
    assert_eq!(watched.len(), PODS, "each pod was watched");
    called
}

/// Returns when they enforce, and, where they are told to, when their plugin is in the nodes' networks.
fn start_agents(cluster: &Cluster, flags: &[&str]) -> [Agent; 2] {
    let binary = env!("CARGO_BIN_EXE_tested-bulkhead");
    let agents = NODES.map(|node| Agent::start_with(cluster, node, binary, TEAMS, flags));
    for node in NODES {
        eventually("the agent enforces", 60, || {
            cluster.try_metric(node, "bulkhead_policies", &["state=\"enforced\""]).filter(|policies| *policies > 0)
        });
        if !flags.is_empty() {
            eventually("the plugin is in the node's list", 60, || cluster.has_plugin(node).then_some(()));
        }
    }
    agents
}

/// The address of each pod, and when its network first took a datagram; once all of them have ended.
fn start_pods<'scope>(cluster: &Cluster, base: Instant, scope: &'scope Scope<'scope, '_>) -> Vec<(IpAddr, Duration)> {
    let watching = Watching { cluster, base, known: NODES.map(|node| pod_namespaces(cluster, node)) };
    cluster.apply(&(0..PODS).map(pod).collect::<String>());
    let sent = watching.until_all_were_there(scope);
    eventually("each pod's process has ended", 120, || {
        let phases = cluster.kubectl("get pods -n starts -o jsonpath={.items[*].status.phase}");
        (!phases.contains("Pending") && !phases.contains("Running")).then_some(())
    });
    sleep(WATCHED);
    sent
}

fn judge(first: Duration, arrived: &[Duration]) -> Watched {
    let last = arrived.iter().max();
    Watched { window: last.map_or(Duration::ZERO, |last| last.saturating_sub(first) + BEAT), escaped: arrived.len() }
}

fn report(title: &str, watched: &[Watched], called: usize, seconds: f64) {
    let windows: Vec<_> = watched.iter().map(|pod| pod.window).collect();
    let at = |part: f64| quantile(&windows, part);
    let escaped: usize = watched.iter().map(|pod| pod.escaped).sum();
    println!(
        "{title}: {} pods in {seconds:.0} s; window p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; {escaped} datagrams \
         from inside their networks escaped, and {called} connections of their own processes",
        watched.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

impl Receiver {
    fn bind(cluster: &Cluster) -> Self {
        let bind = || {
            let door = TcpListener::bind((RECEIVER, TCP)).expect("a port");
            (door, UdpSocket::bind((RECEIVER, UDP)).expect("a port"))
        };
        let (door, datagrams) = cluster.outside().run(bind).expect("the control plane's network");
        Self { door, datagrams, arrived: Mutex::default() }
    }

    fn receive(&self, until: &Until) {
        self.datagrams.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut sent = [0; 8];
        while until.goes_on() {
            match self.datagrams.recv_from(&mut sent) {
                Ok((_, from)) => {
                    let sent = Duration::from_nanos(u64::from_be_bytes(sent));
                    self.arrived.lock().expect("the other threads").entry(from.ip()).or_default().push(sent);
                }
                Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
            }
        }
    }

    /// The pods' own connections that came.
    fn accepted(&self) -> usize {
        self.door.set_nonblocking(true).expect("a listener");
        std::iter::from_fn(|| self.door.accept().ok()).count()
    }
}

/// Looks for networks that were not there before.
struct Watching<'a> {
    cluster: &'a Cluster,
    base: Instant,
    known: [BTreeSet<PathBuf>; 2],
}

impl Watching<'_> {
    /// The address of each pod, and when its network first took a datagram.
    fn until_all_were_there<'scope>(mut self, scope: &'scope Scope<'scope, '_>) -> Vec<(IpAddr, Duration)> {
        let deadline = Instant::now() + Duration::from_secs(300);
        let mut senders = Vec::new();
        while senders.len() < PODS && Instant::now() < deadline {
            for (node, known) in NODES.into_iter().zip(&mut self.known) {
                let new: Vec<_> = pod_namespaces(self.cluster, node).difference(known).cloned().collect();
                known.extend(new.iter().cloned());
                let base = self.base;
                senders.extend(new.into_iter().map(|path| scope.spawn(move || send_from(&path, base))));
            }
            sleep(Duration::from_millis(1));
        }
        senders.into_iter().filter_map(|sender| sender.join().expect("a sender")).collect()
    }
}

/// Sends from inside a network that has only just been made, as soon as it takes anything. `None` where it never does.
fn send_from(path: &Path, base: Instant) -> Option<(IpAddr, Duration)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let netns = loop {
        // The file is there before the namespace is.
        match NetNs::open(path).and_then(|netns| netns.run(|| ()).map(|()| netns)) {
            Ok(netns) => break netns,
            Err(_) if Instant::now() < deadline => sleep(Duration::from_micros(200)),
            Err(_) => return None,
        }
    };
    let work = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        let mut first = None;
        while first.map_or(Instant::now() < deadline, |first| base.elapsed() - first < WATCHED) {
            let now = base.elapsed();
            let sent = socket.send_to(&(now.as_nanos() as u64).to_be_bytes(), (RECEIVER, UDP));
            if sent.is_ok() && first.is_none() {
                first = Some(now);
                socket.connect((RECEIVER, UDP)).ok()?;
            }
            sleep(if first.is_some() { BEAT } else { Duration::from_micros(200) });
        }
        Some((socket.local_addr().ok()?.ip(), first?))
    };
    netns.run(work).ok()?
}

#[test]
fn pods_that_start_are_enforced_within_moments() {
    measure("without the plugin", &[]);
}

#[test]
fn a_pod_that_starts_through_the_plugin_sends_nothing_before_it_is_enforced() {
    let folders = ["--cni-conf-dir", "/etc/cni/net.d", "--cni-bin-dir", "/opt/cni/bin"];
    let called = measure("with the plugin", &folders);
    assert_eq!(called, 0, "connections of pods that may open none");
}
