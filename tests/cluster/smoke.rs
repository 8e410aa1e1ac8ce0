//! The least that must hold on a real cluster: an agent on real nodes, one policy, one drop, one counter.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::SocketAddr;
use std::time::Duration;

use tests::cluster::{Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually, manifests};
use tests::load::{received, senders};

/// Nothing listens there but the test.
const COUNTED: u16 = 9999;
const DATAGRAMS: usize = 5;
const DROPPED: &str = "bulkhead_dropped_packets_total";

/// A server on the second node, a client on each.
fn world() -> String {
    let pod = |name: &str, node: u32| {
        manifests::pod("smoke", name, node, &format!("app: {name}"), "netexec --http-port=8080")
    };
    [manifests::namespace("smoke", "smoke"), pod("server", 2), pod("near", 2), pod("far", 1)].concat()
}

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: smoke}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: far}}}]}]
";

#[test]
fn a_policy_is_but_an_object_until_an_agent_enforces_it() {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(&world());
    cluster.wait_for_pods("smoke");
    let [server, near, far] = ["server", "near", "far"].map(|name| PodNetwork::find(&cluster, "smoke", name));
    // From the near one and from the far one, to each address.
    let reached = || {
        let to = server.addresses.map(|ip| SocketAddr::new(ip, 8080));
        [&near, &far].map(|from| to.map(|to| from.reaches(to)))
    };
    eventually("every pod reaches the server", 20, || (reached() == [[true; 2]; 2]).then_some(()));
    cluster.apply(POLICY);
    assert_eq!(reached(), [[true; 2]; 2], "nobody enforces it");

    let _agents = Agent::start_everywhere(&cluster, env!("CARGO_BIN_EXE_tested-bulkhead"), TEAMS);
    eventually("the near one is kept out", 60, || (reached() == [[false; 2], [true; 2]]).then_some(()));

    let arrived = [0, 1].map(|family| server.udp(family, COUNTED));
    let labels = ["direction=\"ingress\"", "reason=\"default_deny\""];
    let before = cluster.metric(2, DROPPED, &labels);
    let sockets = near.run(|| senders(near.addresses, server.addresses, COUNTED));
    for (socket, to) in (0..DATAGRAMS).flat_map(|_| &sockets) {
        socket.send_to(b"counted", to).expect("a datagram goes out");
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(cluster.metric(2, DROPPED, &labels) - before, 2 * DATAGRAMS as u64, "each drop is counted");
    assert_eq!(arrived.each_ref().map(received), [0, 0]);
    let status = cluster.run(Place::Node(2), &format!("{} status", env!("CARGO_BIN_EXE_tested-bulkhead")));
    println!("{status}");
    cluster.kubectl("delete namespace smoke");
}
