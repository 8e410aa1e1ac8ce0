//! NetworkPolicy, case by case (semantics of `networking.k8s.io/v1`): named worlds, judged by compiled rules.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, Direction, DropReason, PeerKind, PortKey};
use common::decide::Verdict;
use policy::compile::{Ids, Kind, compile};
use policy::model::{NetworkPolicy, ObjectRef, Peer, Port, Protocol, Rule};
use world::{Scene, block, container_port, ip, own_pods, pods, policy, rule, selector, tcp, to_tcp};

const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const FREE: Verdict = Verdict::Allow(AllowReason::NoPolicy);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const B: &str = "10.244.0.2";
const C: &str = "10.244.0.3";
const UNKNOWN: &str = "10.244.0.9";
const OUTSIDE: &str = "198.51.100.7";

/// `x/a` at .1 is judged; `x/b` at .2 and `y/c` at .3 are its peers.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.pod("x/a", "app=a", &["10.244.0.1", "fd00:10:244::1"]);
    scene.pod("x/b", "app=b", &[B, "fd00:10:244::2"]);
    scene.pod("y/c", "app=b", &[C, "fd00:10:244::3"]);
    scene
}

fn ingress_of(rules: Vec<Rule>) -> Scene {
    let mut scene = scene();
    scene.policy(NetworkPolicy { ingress: Some(rules), ..policy("x", "p") });
    scene
}

fn egress_of(rules: Vec<Rule>) -> Scene {
    let mut scene = scene();
    scene.policy(NetworkPolicy { egress: Some(rules), ..policy("x", "p") });
    scene
}

fn ingress(scene: &Scene, other: &str, port: PortKey) -> Verdict {
    scene.judge(&scene.compile(), "x/a", Direction::Ingress, other, port).verdict
}

fn egress(scene: &Scene, other: &str, port: PortKey) -> Verdict {
    scene.judge(&scene.compile(), "x/a", Direction::Egress, other, port).verdict
}

fn named(name: &str) -> ObjectRef {
    ObjectRef::NetworkPolicy { namespace: "x".into(), name: name.into(), rule: None }
}

#[test]
fn no_rule_denies_one_direction_and_names_the_policies() {
    let mut scene = scene();
    for name in ["deny-1", "deny-2"] {
        scene.policy(NetworkPolicy { ingress: Some(Vec::new()), ..policy("x", name) });
    }
    let compiled = scene.compile();
    let judgement = scene.judge(&compiled, "x/a", Direction::Ingress, B, to_tcp(80));
    assert_eq!(judgement.verdict, DENIED);
    assert_eq!(compiled.desired.provenance.rules[&judgement.rule], [named("deny-1"), named("deny-2")]);
    assert_eq!(egress(&scene, B, to_tcp(80)), FREE);
    assert_eq!(scene.judge(&compiled, "y/c", Direction::Ingress, B, to_tcp(80)).verdict, FREE);
}

#[test]
fn an_empty_rule_allows_everyone_on_everything() {
    let scene = ingress_of(vec![Rule::default()]);
    for port in [to_tcp(80), PortKey::new(1, 0), PortKey::new(47, 0)] {
        assert_eq!(ingress(&scene, OUTSIDE, port), ALLOWED);
    }
}

#[test]
fn one_entry_is_both_selectors_and_two_entries_are_either() {
    let y = "kubernetes.io/metadata.name=y";
    let both = ingress_of(vec![rule(&[pods(y, "app=b")], &[])]);
    assert_eq!(ingress(&both, B, to_tcp(80)), DENIED);
    assert_eq!(ingress(&both, C, to_tcp(80)), ALLOWED);
    let either = ingress_of(vec![rule(&[pods(y, "app=none"), own_pods("app=b")], &[])]);
    assert_eq!(ingress(&either, B, to_tcp(80)), ALLOWED);
    assert_eq!(ingress(&either, C, to_tcp(80)), DENIED);
}

#[test]
fn a_range_of_ports_holds_both_ends_and_one_protocol() {
    let scene = ingress_of(vec![rule(&[], &[Port::Range(Protocol::Tcp, 80, 82)])]);
    let verdicts = [79, 80, 82, 83].map(|port| ingress(&scene, B, to_tcp(port)));
    assert_eq!(verdicts, [DENIED, ALLOWED, ALLOWED, DENIED]);
    assert_eq!(ingress(&scene, B, PortKey::new(17, 80)), DENIED);
    assert_eq!(ingress(&scene, B, PortKey::new(1, 0)), DENIED, "what has no ports matches no rule with ports");
}

#[test]
fn a_protocol_without_port_is_all_its_ports() {
    let scene = ingress_of(vec![rule(&[], &[Port::All(Protocol::Sctp)])]);
    assert_eq!(ingress(&scene, B, PortKey::new(132, u16::MAX)), ALLOWED);
    assert_eq!(ingress(&scene, B, to_tcp(80)), DENIED);
}

#[test]
fn an_ingress_port_name_is_the_judged_pods_own_and_all_its_numbers() {
    let mut scene = ingress_of(vec![rule(&[], &[Port::Named(Protocol::Tcp, "web".into())])]);
    let key = scene.node.endpoints[0].pod.clone().unwrap();
    scene.world.pods.get_mut(&key).unwrap().ports = vec![
        container_port("web", Protocol::Tcp, 80),
        container_port("web", Protocol::Tcp, 81),
        container_port("web", Protocol::Udp, 82),
    ];
    let verdicts = [80, 81, 82].map(|port| ingress(&scene, B, to_tcp(port)));
    assert_eq!(verdicts, [ALLOWED, ALLOWED, DENIED]);
    let compiled = scene.compile();
    let other = scene.judge(&compiled, "x/b", Direction::Ingress, C, to_tcp(80));
    assert_eq!(other.verdict, DENIED, "a name that the pod does not have still isolates it");
}

#[test]
fn an_egress_port_name_is_each_destination_pods_and_no_addresses() {
    let web = [Port::Named(Protocol::Tcp, "web".into())];
    for peers in [vec![], vec![block("0.0.0.0/0", &[])], vec![own_pods("")]] {
        let mut scene = egress_of(vec![rule(&peers, &web)]);
        let key = scene.node.endpoints[1].pod.clone().unwrap();
        scene.world.pods.get_mut(&key).unwrap().ports = vec![container_port("web", Protocol::Tcp, 8080)];
        assert_eq!(egress(&scene, B, to_tcp(8080)), ALLOWED, "{peers:?}");
        assert_eq!(egress(&scene, B, to_tcp(80)), DENIED);
        assert_eq!(egress(&scene, C, to_tcp(8080)), DENIED);
        assert_eq!(egress(&scene, OUTSIDE, to_tcp(8080)), DENIED);
    }
}

#[test]
fn except_belongs_to_its_own_entry() {
    let all = block("198.51.100.0/24", &["198.51.100.0/25"]);
    let lower = block("198.51.100.0/26", &[]);
    let scene = ingress_of(vec![rule(std::slice::from_ref(&all), &[])]);
    assert_eq!(ingress(&scene, OUTSIDE, to_tcp(80)), DENIED);
    assert_eq!(ingress(&scene, "198.51.100.200", to_tcp(80)), ALLOWED);
    let scene = ingress_of(vec![rule(&[all, lower], &[])]);
    assert_eq!(ingress(&scene, OUTSIDE, to_tcp(80)), ALLOWED);
    assert_eq!(ingress(&scene, "198.51.100.100", to_tcp(80)), DENIED);
}

#[test]
fn blocks_match_pods_but_not_unknown_ones_and_not_the_other_family() {
    let scene = ingress_of(vec![rule(&[block("0.0.0.0/0", &[])], &[])]);
    assert_eq!(ingress(&scene, B, to_tcp(80)), ALLOWED);
    assert_eq!(ingress(&scene, OUTSIDE, to_tcp(80)), ALLOWED);
    assert_eq!(ingress(&scene, UNKNOWN, to_tcp(80)), Verdict::Drop(DropReason::UnknownEndpoint));
    assert_eq!(ingress(&scene, "2001:db8::1", to_tcp(80)), DENIED);
    assert_eq!(ingress(&scene, "fd00:10:244::2", to_tcp(80)), DENIED);
}

#[test]
fn a_host_network_pod_is_its_node() {
    let mut scene = ingress_of(vec![rule(&[own_pods("app=b")], &[])]);
    let mut pod = scene.world.pods.values().next().unwrap().clone();
    (pod.name, pod.host_network, pod.addresses) = ("host".into(), true, vec![ip("192.0.2.2")]);
    pod.labels = world::labels("app=b");
    scene.world.pods.insert(pod.key(), pod);
    assert_eq!(ingress(&scene, "192.0.2.2", to_tcp(80)), DENIED);
    assert_eq!(scene.compile().desired.tables.peer_of(ip("192.0.2.1")).kind(), PeerKind::OwnNode);
}

#[test]
fn an_address_that_two_pods_claim_is_the_bound_ones() {
    let mut scene = scene();
    let mut twin = scene.world.pods.values().next().unwrap().clone();
    twin.name = "0-twin".into();
    scene.world.pods.insert(twin.key(), twin);
    assert_eq!(scene.compile().desired.tables.peer_of(ip("10.244.0.1")).kind(), PeerKind::LocalPod);
    scene.node.endpoints.clear();
    assert_eq!(scene.compile().desired.tables.peer_of(ip("10.244.0.1")).kind(), PeerKind::UnknownPod);
}

#[test]
fn a_pod_without_an_address_is_passed_over() {
    let mut scene = ingress_of(vec![rule(&[own_pods("app=b")], &[])]);
    scene.pod("x/pending", "app=b", &[]);
    assert_eq!(ingress(&scene, B, to_tcp(80)), ALLOWED);
    assert_eq!(ingress(&scene, C, to_tcp(80)), DENIED);
}

#[test]
fn policies_that_select_no_local_pod_create_nothing() {
    let mut scene = scene();
    let before = scene.compile().desired;
    let rules = Some(vec![rule(&[own_pods("role=x"), block("203.0.113.0/24", &[])], &[tcp(1)])]);
    let absent = NetworkPolicy { subject: selector("app=none"), ingress: rules.clone(), ..policy("x", "p") };
    scene.policy(absent);
    scene.policy(NetworkPolicy { ingress: rules, ..policy("elsewhere", "p") });
    let after = scene.compile().desired;
    assert_eq!((before.tables, before.ids), (after.tables, after.ids));
}

#[test]
fn another_policy_renumbers_nobody() {
    let mut scene = ingress_of(vec![rule(&[own_pods("app=b"), block("198.51.100.0/24", &[])], &[tcp(80)])]);
    let first = compile(&scene.input(), &Ids::default(), None).unwrap();
    let peers: Vec<Peer> = vec![pods("team=red", "role=web"), block("203.0.113.0/24", &[])];
    let other = NetworkPolicy { egress: Some(vec![rule(&peers, &[tcp(443)])]), ..policy("x", "0-first") };
    scene.policy(other);
    let second = compile(&scene.input(), &first.desired.ids, Some(&first)).unwrap();
    assert_eq!(first.desired.tables.peers, second.desired.tables.peers);
    for (id, digest) in &first.desired.ids.0 {
        if matches!(id.kind, Kind::Identity | Kind::Class | Kind::Program) {
            assert_eq!(second.desired.ids.0.get(id), Some(digest), "{id:?}");
        }
    }
    for (key, program) in &first.desired.tables.rules {
        assert_eq!(second.desired.tables.rules.get(key), Some(program));
    }
}
