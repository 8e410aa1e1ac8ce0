//! What worlds compile to: whose an address is, and what nobody needs. What policies mean is in `tests/semantics/`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, Direction, DropReason, PeerKind, PortKey};
use common::decide::Verdict;
use policy::compile::{Id, Ids, Kind, compile};
use policy::model::{NetworkPolicy, Peer, Rule};
use world::{Scene, block, ip, own_pods, pods, policy, rule, selector, tcp, to_tcp};

const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const B: &str = "10.244.0.2";
const C: &str = "10.244.0.3";

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

fn ingress(scene: &Scene, other: &str, port: PortKey) -> Verdict {
    scene.judge(&scene.compile(), "x/a", Direction::Ingress, other, port).verdict
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

#[test]
fn digests_are_of_a_nodes_own_secret_which_stays() {
    let scene = ingress_of(vec![rule(&[own_pods("app=b")], &[tcp(80)])]);
    let on = |secret: [u8; 16]| {
        let first = compile(&scene.input(), &Ids([(Id::SECRET, secret)].into()), None).unwrap().desired.ids;
        let again = compile(&scene.input(), &first, None).unwrap().desired.ids;
        assert_eq!(first, again);
        assert_eq!(first.0.get(&Id::SECRET), Some(&secret));
        first
    };
    let (one, two) = (on([1; 16]), on([2; 16]));
    assert!(one.0.keys().eq(two.0.keys()), "the numbers are the same");
    for kind in Kind::ALL.into_iter().filter(|kind| one.numbers(*kind).next().is_some()) {
        // The last bytes of a program's are its length.
        let mut pairs = one.of(kind).zip(two.of(kind));
        assert!(pairs.all(|((_, one), (_, two))| one[..12] != two[..12]), "{}", kind.name());
    }
}
