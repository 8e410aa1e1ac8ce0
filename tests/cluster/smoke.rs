//! The least that must hold on a real cluster.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::SocketAddr;

use tests::cluster::{AGNHOST, Cluster, PodNetwork, Proxy, eventually};

/// A server on the second node, a client on each.
fn pods() -> String {
    let pod = |name: &str, node: u32| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: smoke, labels: {{app: {name}}}}}
spec:
  nodeName: node{node}
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: main, image: \"{AGNHOST}\", args: [netexec, --http-port=8080]}}
---"
        )
    };
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: smoke}}
---{}{}{}",
        pod("server", 2),
        pod("near", 2),
        pod("far", 1)
    )
}

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: smoke}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}
";

/// Without an agent a policy is but an object: what is measured later is the agent's doing.
#[test]
fn without_an_agent_pods_reach_each_other_whatever_policies_say() {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(&pods());
    cluster.wait_for_pods("smoke");
    let [server, near, far] = ["server", "near", "far"].map(|name| PodNetwork::find(&cluster, "smoke", name));
    let reached = || {
        let to = server.addresses.map(|ip| SocketAddr::new(ip, 8080));
        [&near, &far].iter().flat_map(|from| to.map(|to| from.reaches(to))).collect::<Vec<_>>()
    };
    eventually("every pod reaches the server", 20, || (reached() == [true; 4]).then_some(()));
    cluster.apply(DENY);
    assert_eq!(reached(), [true; 4]);
    cluster.kubectl("delete namespace smoke");
}
