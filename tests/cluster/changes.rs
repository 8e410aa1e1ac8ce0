//! From the write of a policy to the first packet that it judges, in a cluster of 10,000 pods.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use agent::watch::{Access, Cluster as Api};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tests::cluster::{Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually, manifests};
use tests::crowd;
use tests::measured::{memory, processor_time, quantile};
use tests::until::Until;

const PODS: usize = 10_000;
const CHANGES: usize = 500;
/// Between two datagrams.
const BEAT: Duration = Duration::from_micros(250);
/// That long after the last datagram no other comes.
const SILENCE: Duration = Duration::from_millis(100);
const PORT: u16 = 7070;
/// For so long nothing changes.
const REST: Duration = Duration::from_secs(30);

/// In a namespace of the crowd, so that its policies isolate the server, too.
const POLICY: &str = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ns-0, name: door}
spec: {podSelector: {matchLabels: {app: app-0}}, policyTypes: [Ingress], ingress: []}
";

#[test]
fn a_change_of_policy_is_measured_to_its_first_packet() {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.store(&crowd::namespaces());
    eventually("service accounts in the crowd's namespaces", 120, || {
        cluster.try_run(Place::Outside, "kubectl -n ns-0 get sa default").status.success().then_some(())
    });
    let pods = manifests::pod("ns-0", "server", 2, "app: app-0", "pause")
        + &manifests::pod("ns-0", "client", 1, "app: x", "pause");
    cluster.apply(&(pods + POLICY));
    cluster.wait_for_pods("ns-0");
    let [server, client] = ["server", "client"].map(|name| PodNetwork::find(&cluster, "ns-0", name));
    cluster.store(&crowd::pods(PODS));
    let agents = Agent::start_everywhere(&cluster, env!("CARGO_BIN_EXE_tested-bulkhead"), TEAMS);

    println!("| policies | change | p50 | p90 | p99 | most | changes |\n|---|---|---|---|---|---|---|");
    let mut stored = 1;
    for policies in [10, 1000] {
        cluster.store(&crowd::policies(stored - 1..policies - 1));
        stored = policies;
        let labels = ["kind=\"NetworkPolicy\"", "state=\"enforced\""];
        eventually("the agents know every policy", 120, || {
            let known = [1, 2].map(|node| cluster.try_metric(node, "bulkhead_policies", &labels));
            (known == [Some(policies as u64); 2]).then_some(())
        });
        let measured = measure(&cluster, &client, &server);
        for (what, delays) in [("opens", &measured.opened), ("shuts", &measured.shut)] {
            println!("| {policies} | {what} | {} |", quantiles(delays));
            assert_eq!(delays.len(), CHANGES / 2);
        }
    }
    agents.iter().for_each(rests);
}

/// What an agent takes while nothing changes.
fn rests(agent: &Agent) {
    let pid = agent.pid().to_string();
    let taken = || processor_time(&pid).expect("a running agent");
    let before = taken();
    sleep(REST);
    let share = (taken() - before).as_secs_f64() / REST.as_secs_f64();
    let [own, resident] = ["RssAnon", "VmRSS"].map(|field| memory(&pid, field).expect("a running agent"));
    println!("an agent at rest: {own} MiB, with its program {resident}; {:.1} % of a processor", 100.0 * share);
    // The program of a debug build alone has 100 MiB.
    assert!(own < 90, "the budget of the agent");
}

/// From the start of each write.
#[derive(Default)]
struct Measured {
    opened: Vec<Duration>,
    shut: Vec<Duration>,
}

fn measure(cluster: &Cluster, client: &PodNetwork, server: &PodNetwork) -> Measured {
    let (from, at) = (client.udp(0, 0), server.udp(0, PORT));
    let (base, until) = (Instant::now(), Until::default());
    let (arrived, arrivals) = channel();
    let to = SocketAddr::new(server.addresses[0], PORT);
    scope(|scope| {
        let _end = until.dropped();
        scope.spawn(|| send(&from, to, base, &until));
        scope.spawn(|| receive(&at, &arrived, &until));
        let access = Access { kubeconfig: Some(cluster.admin_config()), context: None };
        cluster
            .outside()
            .run(move || change_again_and_again(&access, base, &arrivals))
            .expect("the control plane's network")
    })
}

/// Each datagram says when it was sent.
fn send(socket: &UdpSocket, to: SocketAddr, base: Instant, until: &Until) {
    while until.goes_on() {
        let now = base.elapsed().as_nanos() as u64;
        socket.send_to(&now.to_be_bytes(), to).expect("a datagram goes out");
        sleep(BEAT);
    }
}

fn receive(socket: &UdpSocket, arrived: &Sender<Duration>, until: &Until) {
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let mut sent = [0; 8];
    while until.goes_on() {
        match socket.recv(&mut sent) {
            Ok(_) => drop(arrived.send(Duration::from_nanos(u64::from_be_bytes(sent)))),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
    }
}

fn change_again_and_again(access: &Access, base: Instant, arrivals: &Receiver<Duration>) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(Api::new(access)).expect("the API server").client();
    let policies = kube::Api::<NetworkPolicy>::namespaced(client, "ns-0");
    let write = |ingress: serde_json::Value| {
        let patch = Patch::Merge(json!({"spec": {"ingress": ingress}}));
        let started = base.elapsed();
        runtime.block_on(policies.patch("door", &PatchParams::default(), &patch)).expect("the policy is written");
        started
    };
    let mut measured = Measured::default();
    for _ in 0..CHANGES / 2 {
        let started = write(json!([{"ports": [{"protocol": "UDP", "port": PORT}]}]));
        let first = arrivals.recv_timeout(Duration::from_secs(10)).expect("the door opens");
        measured.opened.push(first.saturating_sub(started));
        while arrivals.try_recv().is_ok() {}

        let started = write(json!([]));
        let last = last_of(arrivals).unwrap_or(started);
        measured.shut.push((last + BEAT).saturating_sub(started));
    }
    measured
}

/// When the last of the datagrams was sent that still arrive; `None` where none does.
fn last_of(arrivals: &Receiver<Duration>) -> Option<Duration> {
    let (mut last, begun) = (None, Instant::now());
    loop {
        match arrivals.recv_timeout(SILENCE) {
            Ok(sent) => last = Some(sent),
            Err(RecvTimeoutError::Timeout) => return last,
            Err(RecvTimeoutError::Disconnected) => panic!("nobody receives any more"),
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the door does not shut");
    }
}

fn quantiles(delays: &[Duration]) -> String {
    let at = [0.5, 0.9, 0.99, 1.0].map(|part| format!("{:.1} ms", quantile(delays, part)));
    format!("{} | {}", at.join(" | "), delays.len())
}
