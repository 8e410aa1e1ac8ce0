//! Services: what has no room is undecided, and is in nobody's way.

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::compile::Resource;
use policy::model::{NetworkPolicy, Service, ServicePort, SliceEndpoint};
use policy::plan::{Capacities, Observed, prepare};

use crate::scene::{B, C, EVIL, HOSTILES, Node, hostile, scene};
use crate::world::{ROOM, Scene, block, ip, own_pods, policy, rule, selector, service, tcp, to_tcp};

/// A Service of evil with so many ports and externalIPs.
fn large(name: &str, cluster_ip: &str, ports: u16, external_ips: u8) -> Service {
    let plain = service("evil", name, cluster_ip);
    let port = |number: u16| ServicePort { name: format!("p{number}"), port: 1000 + number, ..plain.ports[0].clone() };
    Service {
        external_ips: (1..=external_ips).map(|index| ip(&format!("198.51.100.{index}"))).collect(),
        ports: (0..ports).map(port).collect(),
        ..plain.clone()
    }
}

const UNDECIDED: Verdict = Verdict::Drop(DropReason::ServiceUndecided);

fn call(node: &Node, scene: &Scene, pod: &str, address: &str, port: u16) -> Verdict {
    scene.call(&node.compiled, pod, address, to_tcp(port))
}

#[test]
fn more_services_than_there_is_room_for_are_undecided_and_in_nobodys_way() {
    let mut scene = scene();
    scene.service(service("x", "web", "10.96.0.10"), &[B]);
    scene.service(service("evil", "small", "10.96.0.11"), &[EVIL]);
    scene.policy(NetworkPolicy { egress: Some(vec![rule(&[block("0.0.0.0/0", &[])], &[])]), ..policy("evil", "out") });
    let mut node = Node::default();
    node.enforce(&scene);
    scene.service(large("large", "10.96.0.12", 20, 20), &[EVIL]);
    node.enforce(&scene);
    assert_eq!(node.excess(), [("evil", Resource::Services)]);
    let told = node.compiled.excesses[0].to_string();
    assert!(told.contains("calls of service/evil/large drop (service_undecided)"), "{told}");
    // It leads to nobody knows whom: at its ClusterIP, and where kube-proxy still rewrites an address outside.
    for address in ["10.96.0.12", "198.51.100.1", "198.51.100.20"] {
        assert_eq!(call(&node, &scene, "evil/0", address, 1000), UNDECIDED, "{address}");
        assert_eq!(call(&node, &scene, "x/a", address, 1000), UNDECIDED, "{address}");
    }
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(call(&node, &scene, "evil/0", "198.51.100.21", 1000), allowed, "nobody's claim");
    assert_eq!(call(&node, &scene, "x/a", "10.96.0.10", 80), Verdict::Allow(AllowReason::NoPolicy));
    assert_eq!(call(&node, &scene, "evil/0", "10.96.0.11", 80), allowed, "its smaller ones stay");
    // Nobody's change waits for it, and who comes from such an address is who it was.
    let own = rule(&[own_pods("app=c"), block("198.51.100.0/24", &[])], &[tcp(80)]);
    scene.policy(NetworkPolicy { ingress: Some(vec![own]), subject: selector("app=a"), ..policy("x", "from-b") });
    node.enforce(&scene);
    assert_eq!(node.verdict(&scene, "x/a", Direction::Ingress, C, 80), allowed);
    assert_eq!(node.verdict(&scene, "x/a", Direction::Ingress, "198.51.100.1", 80), allowed);
    scene.world.services.remove(&("evil".to_owned(), "large".to_owned()));
    node.enforce(&scene);
    assert_eq!((node.excess(), call(&node, &scene, "evil/0", "198.51.100.1", 1000)), (vec![], allowed));
}

#[test]
fn whose_services_have_no_room_even_so_opens_nothing() {
    let mut scene = scene();
    let mut node = Node::default();
    scene.service(large("large", "10.96.0.12", 100, 200), &[EVIL]);
    node.enforce(&scene);
    assert_eq!(node.excess(), [("evil", Resource::Services), ("evil", Resource::Closed)]);
    for address in ["198.51.100.1", "203.0.113.1", EVIL] {
        assert_eq!(call(&node, &scene, "evil/0", address, 1000), Verdict::Drop(DropReason::Capacity), "{address}");
    }
    assert_eq!(
        node.verdict(&scene, "x/b", Direction::Egress, "203.0.113.1", 80),
        Verdict::Allow(AllowReason::NoPolicy)
    );
}

/// What the agent could not keep even as undecided ones.
#[test]
fn whose_services_were_not_read_opens_nothing_in_any_namespace_of_the_tenant() {
    let mut scene = scene();
    scene.owned("evil-too", "black");
    scene.pod("evil-too/z", "app=z", &["10.244.2.1"]);
    let mut node = Node::default();
    node.enforce(&scene);
    let open = Verdict::Allow(AllowReason::NoPolicy);
    assert_eq!(call(&node, &scene, "evil-too/z", "203.0.113.1", 80), open);
    scene.world.unread_services.insert("evil".to_owned());
    node.enforce(&scene);
    for pod in ["evil/0", "evil-too/z"] {
        assert_eq!(call(&node, &scene, pod, "203.0.113.1", 80), Verdict::Drop(DropReason::Capacity), "{pod}");
    }
    assert_eq!(call(&node, &scene, "x/b", "203.0.113.1", 80), open);
    scene.world.unread_services.clear();
    node.enforce(&scene);
    assert_eq!(call(&node, &scene, "evil/0", "203.0.113.1", 80), open);
}

#[test]
fn backends_told_apart_for_every_caller_close_those_services_alone() {
    let mut scene = scene();
    let ends: Vec<String> = (0..HOSTILES).map(|index| format!("10.244.1.{}", index + 1)).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    for index in 0..HOSTILES {
        hostile(&mut scene, &format!("p{index}"), vec![rule(&[own_pods(&format!("own=v{index}"))], &[])]);
    }
    for index in 0..100 {
        let mut own = service("evil", &format!("s{index}"), &format!("10.96.1.{index}"));
        own.ports[0].target = policy::model::TargetPort::Number(9000 + index);
        scene.service(own, &ends);
    }
    scene.service(service("x", "web", "10.96.0.10"), &[B, C]);
    let capacities = Capacities { services: 3 * 300, ..ROOM };
    let (compiled, _) = prepare(&scene.input(), &Observed::default(), None, &capacities).unwrap();
    let told: Vec<_> = compiled.excesses.iter().map(|it| (it.namespace.as_str(), it.of)).collect();
    assert_eq!(told, [("evil", Resource::Delegates)]);
    assert!(compiled.desired.tables.delegates.len() <= 300);
    let called = |address: &str| scene.call(&compiled, "x/b", address, to_tcp(80));
    assert_eq!(called("10.96.0.10"), Verdict::Allow(AllowReason::NoPolicy));
}

/// 100 ports, 10 externalIPs, 200 endpoints: finding 05.
#[test]
fn a_slice_is_read_once_however_many_ports_lead_to_it() {
    let mut scene = scene();
    scene.service(large("large", "10.96.0.12", 100, 10), &[]);
    scene.slice("evil", "large").endpoints =
        (0..=199u8).map(|index| SliceEndpoint { address: [203, 0, 113, index].into(), ready: true }).collect();
    let started = std::time::Instant::now();
    let compiled = scene.compile();
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    let tables = &compiled.desired.tables;
    assert_eq!((tables.services.len(), tables.backends.len(), tables.delegates.len()), (1100, 1, 0), "one kind");
}
