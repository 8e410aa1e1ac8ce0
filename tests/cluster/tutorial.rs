//! The tutorial by kubectl: its tenants under a real Capsule, its pods, its policies one step after the other; at each
//! step what real packets find is what `bulkhead matrix` says of the objects that the API server holds.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use agent::net::NetNs;
use serde::Deserialize;
use socket2::{Domain, Socket, Type};
use tests::cluster::{AGNHOST, Agent, Cluster, Place, PodNetwork, Proxy};

const BULKHEAD: &str = env!("CARGO_BIN_EXE_tested-bulkhead");
/// The tutorial's archive, here a host that is really outside.
const ARCHIVE: &str = "192.168.1.10";
const PORTS: [&str; 4] = ["tcp/53", "tcp/80", "tcp/9999", "udp/53"];
const TCP_PORTS: [u16; 3] = [53, 80, 9999];
const UDP_PORT: u16 = 53;
const PODS: [(&str, &str); 7] = [
    ("kube-system", "dns"),
    ("team-a-back", "api"),
    ("team-a-front", "client"),
    ("team-a-front", "web"),
    ("team-b-back", "api"),
    ("team-b-front", "client"),
    ("team-b-front", "web"),
];
/// A busy machine may take that long to answer; what is dropped takes all of it.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Matrix {
    verdicts: Vec<Record>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "fromIP")]
    from_ip: IpAddr,
    #[serde(rename = "toIP")]
    to_ip: IpAddr,
    protocol: String,
    port: u16,
    verdict: String,
}

/// Who sends and receives, by address, and the sockets that receive.
struct Ends {
    networks: BTreeMap<IpAddr, NetNs>,
    // Connections are accepted by the kernel, as far as their queue goes.
    _listeners: Vec<TcpListener>,
    receivers: BTreeMap<IpAddr, UdpSocket>,
}

impl Ends {
    fn new(cluster: &Cluster) -> Self {
        let mut networks = BTreeMap::from([(ARCHIVE.parse().unwrap(), cluster.outside())]);
        for (namespace, name) in PODS {
            let pod = PodNetwork::find(cluster, namespace, name);
            networks.extend(pod.addresses.map(|ip| (ip, NetNs::open(pod.netns.path()).expect("the same namespace"))));
        }
        let (mut listeners, mut receivers) = (Vec::new(), BTreeMap::new());
        for (&ip, netns) in &networks {
            let listen = || TCP_PORTS.map(|port| TcpListener::bind((ip, port)).expect("a port"));
            listeners.extend(netns.run(listen).expect("enter the namespace"));
            let receiver = netns.run(|| UdpSocket::bind((ip, UDP_PORT)).expect("a port")).expect("enter the namespace");
            receiver.set_nonblocking(true).expect("a socket");
            receivers.insert(ip, receiver);
        }
        Self { networks, _listeners: listeners, receivers }
    }

    /// Which of the flows get through, all tried at once.
    fn observe(&self, flows: &[Record]) -> Vec<bool> {
        self.receivers.values().for_each(|receiver| drop(tokens(receiver)));
        let tried: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> =
                flows.iter().enumerate().map(|(token, flow)| scope.spawn(move || self.try_flow(token, flow))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a probe")).collect()
        });
        let came: BTreeMap<IpAddr, Vec<usize>> = self.receivers.iter().map(|(ip, at)| (*ip, tokens(at))).collect();
        let result = |(token, flow): (usize, &Record)| match flow.protocol.as_str() {
            "UDP" => came[&flow.to_ip].contains(&token),
            _ => tried[token],
        };
        flows.iter().enumerate().map(result).collect()
    }

    fn try_flow(&self, token: usize, flow: &Record) -> bool {
        let to = SocketAddr::new(flow.to_ip, flow.port);
        let attempt = || {
            let kind = if flow.protocol == "UDP" { Type::DGRAM } else { Type::STREAM };
            let socket = Socket::new(Domain::for_address(to), kind, None).expect("a socket");
            socket.bind(&SocketAddr::new(flow.from_ip, 0).into()).expect("an address of its own");
            let connected = socket.connect_timeout(&to.into(), PATIENCE).is_ok();
            if flow.protocol == "UDP" {
                socket.send(&token.to_be_bytes()).expect("a datagram goes out");
                thread::sleep(PATIENCE / 2);
            }
            connected
        };
        self.networks[&flow.from_ip].run(attempt).expect("enter the namespace")
    }
}

/// What was sent to a socket.
fn tokens(receiver: &UdpSocket) -> Vec<usize> {
    let mut buffer = [0; 8];
    std::iter::from_fn(|| receiver.recv(&mut buffer).ok().map(|_| usize::from_be_bytes(buffer))).collect()
}

fn steps() -> Vec<PathBuf> {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial");
    let entries = tutorial.read_dir().expect("the tutorial").map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The pods of the first step, which run an image that is there.
fn pods(step: &Path) -> String {
    let read = |name| fs::read_to_string(step.join(name)).expect("a step's file");
    let documents = ["platform.yaml", "team-a.yaml", "team-b.yaml"].map(read).join("\n---\n");
    let documents = documents.split("\n---\n").filter(|document| !document.contains("name: archive"));
    let image = |line: &str| match line.split_once("image: ") {
        Some((indent, _)) => format!("{indent}image: {AGNHOST}\n{indent}args: [pause]\n"),
        None => format!("{line}\n"),
    };
    documents.map(|document| document.lines().map(image).collect::<String>()).collect::<Vec<_>>().join("---\n")
}

/// The tenants' owners make their namespaces; Capsule marks them.
fn start(cluster: &Cluster, step: &Path) {
    cluster.add_capsule();
    cluster.apply(&fs::read_to_string(step.join("tenants.yaml")).expect("tenants"));
    for (owner, namespace) in
        [("alice", "team-a-front"), ("alice", "team-a-back"), ("bob", "team-b-front"), ("bob", "team-b-back")]
    {
        cluster.kubectl(&format!("--as {owner} --as-group capsule.clastix.io create namespace {namespace}"));
        let label = "jsonpath={.metadata.labels.capsule\\.clastix\\.io/tenant}";
        cluster.kubectl(&format!("wait namespace {namespace} --for {label} --timeout 30s"));
    }
    cluster.run(Place::Outside, &format!("ip address add {ARCHIVE}/32 dev lo"));
    cluster.apply(&pods(step));
    for (namespace, name) in PODS {
        cluster.kubectl(&format!("wait pod {name} -n {namespace} --for condition=Ready --timeout 120s"));
    }
}

/// What `bulkhead matrix` says of the objects that the API server holds, for the flows between the ends.
fn expected(cluster: &Cluster, ends: &Ends) -> Vec<Record> {
    let kinds = "namespaces,nodes,pods,networkpolicies,tenants.capsule.clastix.io";
    let objects = cluster.kubectl(&format!("get {kinds} --all-namespaces -o yaml"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("objects.yaml");
    fs::write(&file, objects).expect("a file");
    let mut matrix = Command::new(BULKHEAD);
    matrix.args(["matrix", "-o", "json", "--external", ARCHIVE, "-f"]).arg(&file);
    matrix.args(PORTS.iter().flat_map(|port| ["--port", port]));
    let output = matrix.output().expect("bulkhead");
    assert!(output.status.success(), "bulkhead matrix: {}", String::from_utf8_lossy(&output.stderr));
    let Matrix { mut verdicts } = serde_json::from_slice(&output.stdout).expect("JSON");
    verdicts.retain(|flow| [flow.from_ip, flow.to_ip].iter().all(|ip| ends.networks.contains_key(ip)));
    verdicts
}

#[test]
fn each_step_of_the_tutorial_is_enforced_as_the_matrix_says() {
    let cluster = Cluster::up(Proxy::Iptables);
    let steps = steps();
    let (first, later) = steps.split_first().expect("steps");
    start(&cluster, first);
    let ends = Ends::new(&cluster);
    let _agents = Agent::start_everywhere(&cluster, BULKHEAD, "tenancy: {mode: baseline}\n");
    check(&cluster, &ends, first);
    for step in later {
        cluster.kubectl(&format!("apply -f {}", step.display()));
        check(&cluster, &ends, step);
    }
}

/// What changes is enforced a moment after the API server has it.
fn check(cluster: &Cluster, ends: &Ends, step: &Path) {
    let expected = expected(cluster, ends);
    let allowed = expected.iter().filter(|flow| flow.verdict == "allow").count();
    assert!(allowed > 0 && allowed < expected.len());
    let mut wrong = Vec::new();
    let what = format!("{}: {} flows, {allowed} of them allowed", step.file_name().unwrap().display(), expected.len());
    for _ in 0..10 {
        let observed = ends.observe(&expected);
        let differs = |(flow, passes): (&Record, bool)| ((flow.verdict == "allow") != passes).then(|| flow.clone());
        wrong = expected.iter().zip(observed).filter_map(differs).collect();
        if wrong.is_empty() {
            println!("{what}; observed = expected");
            return;
        }
    }
    panic!("{what}; {} differ, the first ones: {:#?}", wrong.len(), &wrong[..wrong.len().min(3)]);
}
