//! Addresses that several Services claim, and ends that are called themselves: another node may rewrite a packet again.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, DropReason, PeerKind};
use common::decide::Verdict;
use policy::model::{ContainerPort, HostPort, NetworkPolicy, Node, Protocol, Service};
use world::{Scene, block, ip, net, own_pods, policy, rule, service, tcp, to_tcp};

const UNDECIDED: Verdict = Verdict::Drop(DropReason::ServiceUndecided);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const FREE: Verdict = Verdict::Allow(AllowReason::NoPolicy);
const WEB: &str = "10.244.0.2";
const SERVER: &str = "10.244.0.3";
const OTHER_NODE: &str = "192.0.2.2";
/// The address of the other node in its range of pods: no Node object lists it.
const GATEWAY: &str = "10.244.1.1";

/// Tenant black attacks, tenant red has a server with a node port that tenancy alone holds apart.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("evil", "black");
    scene.owned("x", "red");
    scene.pod("evil/caller", "app=caller", &["10.244.0.1"]);
    scene.pod("evil/web", "app=web", &[WEB]);
    scene.pod("x/server", "app=server", &[SERVER]);
    scene.pod("x/client", "", &["10.244.0.4"]);
    let node = Node {
        name: "other".to_owned(),
        addresses: vec![ip(OTHER_NODE)],
        pod_cidrs: vec![net("10.244.1.0/24")],
        ..Node::default()
    };
    scene.world.nodes.insert("other".to_owned(), node);
    let mut server = service("x", "server", "10.96.0.10");
    server.ports[0].node_port = Some(30080);
    scene.service(server, &[SERVER]);
    scene
}

fn called(scene: &Scene, pod: &str, address: &str, port: u16) -> Verdict {
    scene.call(&scene.compile(), pod, address, to_tcp(port))
}

/// A Service of the attacker's that leads to this address and port.
fn leads_to(scene: &mut Scene, address: &str, port: u16) {
    scene.service(service("evil", "s", "10.96.0.20"), &[address]);
    scene.slice("evil", "s").ports[0].port = port;
}

#[test]
fn an_end_that_is_a_node_port_is_nobody_knows_whom() {
    let mut scene = scene();
    for node in ["192.0.2.1", OTHER_NODE, GATEWAY] {
        let refused = Verdict::Drop(DropReason::TenantIsolation);
        assert_eq!(called(&scene, "evil/caller", node, 30080), refused, "{node}: not by itself");
        leads_to(&mut scene, node, 30080);
        assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED, "{node}: nor by way of a Service");
    }
    leads_to(&mut scene, OTHER_NODE, 30081);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), FREE, "no Service has this port");
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), FREE, "the other one's Service is what it was");
}

#[test]
fn an_end_that_is_claimed_is_nobody_knows_whom() {
    let mut scene = scene();
    leads_to(&mut scene, WEB, 8080);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), FREE);
    let mut claim = Service { external_ips: vec![ip(WEB)], ..service("evil", "claim", "10.96.0.21") };
    claim.ports[0].port = 8080;
    scene.service(claim, &["198.51.100.7"]);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED);
    leads_to(&mut scene, WEB, 8081);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), FREE, "another port of it");
}

/// Until a node follows the claim, the port is the node port that it was.
#[test]
fn a_claim_of_a_node_s_address_hides_no_node_port() {
    let claims = |scene: &mut Scene, address: &str| {
        let mut claim = Service { external_ips: vec![ip(address)], ..service("evil", "s", "10.96.0.20") };
        claim.ports[0].port = 30080;
        scene.service(claim, &[WEB]);
    };
    for address in ["192.0.2.1", OTHER_NODE, GATEWAY] {
        let mut scene = scene();
        claims(&mut scene, address);
        let verdict = called(&scene, "evil/caller", address, 30080);
        assert!(matches!(verdict, Verdict::Drop(_)), "{address}: {verdict:?}");
    }
}

/// A claim for which there is no room is one of which nobody can tell: at every address that it names.
#[test]
fn a_claim_without_room_takes_what_it_would_take() {
    let mut scene = scene();
    let egress = NetworkPolicy {
        egress: Some(vec![rule(&[own_pods("app"), block("0.0.0.0/0", &[])], &[])]),
        ..policy("evil", "egress")
    };
    scene.policy(egress);
    let plain = service("evil", "s", "10.96.0.20");
    let port =
        |number: u16| policy::model::ServicePort { name: format!("p{number}"), port: number, ..plain.ports[0].clone() };
    let mut outside: Vec<_> = (1..=200).map(|index| ip(&format!("198.51.100.{index}"))).collect();
    outside.extend([WEB, SERVER, "10.96.0.10"].map(ip));
    let large = Service { external_ips: outside, ports: (80..180).map(port).collect(), ..plain };
    scene.service(large, &["203.0.113.7"]);
    let budget = policy::compile::Budget { services: 1000, closed: 1000, ..policy::compile::Budget::UNLIMITED };
    let ids = policy::compile::Ids::default();
    let compiled = policy::compile::compile_within(&scene.input(), &ids, None, &budget).unwrap();
    let call = |pod: &str, address: &str, port: u16| scene.call(&compiled, pod, address, to_tcp(port));
    for (pod, address) in [
        ("evil/caller", "198.51.100.1"),
        ("evil/caller", WEB),
        ("evil/caller", SERVER),
        ("evil/caller", "10.96.0.10"),
        ("x/client", SERVER),
        ("x/client", "10.96.0.10"),
    ] {
        assert_eq!(call(pod, address, 80), UNDECIDED, "{pod} {address}");
    }
    assert_eq!(call("evil/caller", WEB, 79), ALLOWED, "a port that it does not have");
    assert_eq!(call("x/client", SERVER, 79), FREE, "another tenant's pod at such a port");
    let words = &compiled.desired.tables.peers;
    assert!(words[&ip(WEB).into()].is_claimed() && !words[&ip("10.244.0.1").into()].is_claimed());
    assert_eq!(words[&ip(WEB).into()].kind(), PeerKind::LocalPod);
}

#[test]
fn a_host_port_at_a_loopback_address_stands_for_nothing_else() {
    let mut scene = scene();
    scene.node.addresses.insert(ip("127.0.0.1"));
    let host_port = Some(HostPort { port: 80, address: None });
    let web = scene.world.pods.values_mut().find(|pod| pod.name == "web").unwrap();
    web.ports = vec![ContainerPort { name: None, protocol: Protocol::Tcp, port: 8080, host_port }];
    scene
        .policy(NetworkPolicy { egress: Some(vec![rule(&[own_pods("app")], &[tcp(80)])]), ..policy("evil", "egress") });
    let mut claim = Service { external_ips: vec![ip(WEB)], ..service("evil", "s", "10.96.0.20") };
    claim.ports[0].port = 81;
    scene.service(claim, &[WEB]);
    assert_eq!(called(&scene, "evil/caller", WEB, 80), ALLOWED);
    assert_eq!(called(&scene, "evil/caller", WEB, 82), DENIED);
}

#[test]
fn who_claims_another_s_address_pays_for_what_is_behind_it() {
    let mut scene = scene();
    let claim = Service { external_ips: vec![ip("10.96.0.10")], ..service("a-evil", "claim", "10.96.0.30") };
    scene.owned("a-evil", "green");
    scene.service(claim, &[]);
    scene.slice("a-evil", "claim").endpoints = (0..3000u32)
        .map(|index| policy::model::SliceEndpoint {
            address: std::net::Ipv4Addr::from(0xcb00_7100 + index).into(),
            ready: true,
        })
        .collect();
    scene.service(service("a-evil", "own", "10.96.0.31"), &["203.0.113.1"]);
    scene.service(service("x", "second", "10.96.0.11"), &[SERVER]);
    let budget = policy::compile::Budget { work: 20_000, ..policy::compile::Budget::UNLIMITED };
    let ids = policy::compile::Ids::default();
    let compiled = policy::compile::compile_within(&scene.input(), &ids, None, &budget).unwrap();
    let told: Vec<_> = compiled.excesses.iter().map(|it| it.namespace.as_str()).collect();
    assert_eq!(told, ["a-evil"]);
    let call = |address: &str| scene.call(&compiled, "x/client", address, to_tcp(80));
    assert_eq!(call("10.96.0.11"), FREE, "the victim's other Service");
    assert_eq!(call("10.96.0.31"), UNDECIDED, "the attacker's");
}
