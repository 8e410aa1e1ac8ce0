//! A hundred pods as fast as the cluster starts them, each of which may send nothing: what escapes before its veth is
//! enforced, counted by a receiver outside of the cluster.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, scope, sleep};
use std::time::{Duration, Instant};

use agent::net::NetNs;
use tests::cluster::{AGNHOST, Agent, Cluster, Proxy, TEAMS, eventually, manifests, pod_namespaces};

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

fn measure(title: &str, flags: &[&str]) -> usize {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(&(manifests::namespace("starts", "starts") + NOTHING_GOES_OUT));
    let _agents =
        NODES.map(|node| Agent::start_with(&cluster, node, env!("CARGO_BIN_EXE_tested-bulkhead"), TEAMS, flags));
    for node in NODES {
        eventually("the agent enforces", 60, || cluster.try_metric(node, "bulkhead_policies", &["state=\"enforced\""]));
    }
    if !flags.is_empty() {
        // Named in the network configuration, and read by the runtime.
        sleep(Duration::from_secs(2));
    }
    let outside = cluster.outside();
    let (door, datagrams) = outside
        .run(|| {
            (TcpListener::bind((RECEIVER, TCP)).expect("a port"), UdpSocket::bind((RECEIVER, UDP)).expect("a port"))
        })
        .expect("the control plane's network");
    let (over, arrived) = (AtomicBool::new(false), Mutex::new(BTreeMap::<IpAddr, Vec<Duration>>::new()));
    let base = Instant::now();
    let watched = scope(|scope| {
        scope.spawn(|| receive(&datagrams, &arrived, &over));
        let watching = Watching { cluster: &cluster, base, known: NODES.map(|node| pod_namespaces(&cluster, node)) };
        let manifests: String = (0..PODS).map(pod).collect();
        cluster.apply(&manifests);
        let sent = watching.until_all_were_there(scope);
        eventually("each pod's process has ended", 120, || {
            let phases = cluster.kubectl("get pods -n starts -o jsonpath={.items[*].status.phase}");
            (!phases.contains("Pending") && !phases.contains("Running")).then_some(())
        });
        sleep(WATCHED);
        over.store(true, Ordering::Relaxed);
        let arrived = arrived.lock().expect("the receiver");
        sent.into_iter()
            .map(|(ip, first)| judge(first, arrived.get(&ip).map_or(&[], Vec::as_slice)))
            .collect::<Vec<_>>()
    });
    let seconds = base.elapsed().as_secs_f64();
    let called = accepted(&door);
    report(title, &watched, called, seconds);
    for node in NODES {
        let histogram = cluster.try_metric(node, "bulkhead_attach_delay_seconds_bucket", &["le=\"0.05\""]);
        println!("node{node}: {histogram:?} veths enforced within 50 ms of their first sight");
    }
    assert_eq!(watched.len(), PODS, "each pod was watched");
    called
}

fn judge(first: Duration, arrived: &[Duration]) -> Watched {
    let last = arrived.iter().max();
    Watched { window: last.map_or(Duration::ZERO, |last| last.saturating_sub(first) + BEAT), escaped: arrived.len() }
}

/// The pods' own connections that came.
fn accepted(door: &TcpListener) -> usize {
    door.set_nonblocking(true).expect("a listener");
    std::iter::from_fn(|| door.accept().ok()).count()
}

fn report(title: &str, watched: &[Watched], called: usize, seconds: f64) {
    let mut windows: Vec<_> = watched.iter().map(|pod| pod.window).collect();
    windows.sort();
    let at = |part: f64| windows[((windows.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
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

fn receive(socket: &UdpSocket, arrived: &Mutex<BTreeMap<IpAddr, Vec<Duration>>>, over: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut sent = [0; 8];
    while !over.load(Ordering::Relaxed) {
        match socket.recv_from(&mut sent) {
            Ok((_, from)) => {
                let sent = Duration::from_nanos(u64::from_be_bytes(sent));
                arrived.lock().expect("the other threads").entry(from.ip()).or_default().push(sent);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
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
    fn until_all_were_there<'scope, 'env>(mut self, scope: &'scope Scope<'scope, 'env>) -> Vec<(IpAddr, Duration)> {
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
