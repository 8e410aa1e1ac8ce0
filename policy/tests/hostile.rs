//! One tenant that asks for more than a node has costs the others nothing: its own policies fail closed, and what
//! administrators and tenancy say is enforced whatever it does.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::compile::{Compiled, Resource};
use policy::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, NetworkPolicy, Peer, Pods, PolicyTier, Rule, Service,
    ServicePort, SliceEndpoint,
};
use policy::plan::{Capacities, Observed, prepare};
use world::{ROOM, Scene, block, ip, own_pods, policy, rule, selector, service, tcp, to_tcp};

/// Small maps: a third of each is what a compile may take.
const SMALL: Capacities = Capacities {
    peers: 1 << 10,
    ranges: 3 * 40,
    services: 1 << 10,
    rules: 3 * 100,
    ports: 3 * 400,
    profiles: 1 << 10,
    endpoints: 1 << 10,
    interfaces: 1 << 10,
    ids: 3 * 1000,
};

const FRIENDS: usize = 3;
const HOSTILES: usize = 40;

/// Red's x, whose pod a is for its pod b alone, and black's namespace, whose pods all have a label of their own.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("x", "red");
    scene.owned("y", "red");
    scene.owned("evil", "black");
    for (index, name) in ["a", "b", "c"].iter().take(FRIENDS).enumerate() {
        scene.pod(&format!("x/{name}"), &format!("app={name}"), &[&format!("10.244.0.{}", index + 1)]);
    }
    for index in 0..HOSTILES {
        scene.pod(&format!("evil/{index}"), &format!("own=v{index}"), &[&format!("10.244.1.{}", index + 1)]);
    }
    scene.policy(NetworkPolicy {
        ingress: Some(vec![rule(&[own_pods("app=b")], &[tcp(80)])]),
        subject: selector("app=a"),
        ..policy("x", "from-b")
    });
    scene
}

fn hostile(scene: &mut Scene, name: &str, ingress: Vec<Rule>) {
    scene.policy(NetworkPolicy { ingress: Some(ingress), ..policy("evil", name) });
}

/// More rows than there are: each pod's set knows each other pod.
fn overfill(scene: &mut Scene) {
    for index in 0..HOSTILES {
        let from = rule(&[own_pods(&format!("own=v{index}"))], &[tcp(80)]);
        let to = selector(&format!("own=v{}", (index + 1) % HOSTILES));
        let mut policy = NetworkPolicy { subject: to, ..policy("evil", &format!("p{index}")) };
        policy.ingress = Some(vec![from, rule(&[own_pods("own")], &[tcp(81)])]);
        scene.policy(policy);
    }
}

/// What is enforced, and what it was compiled from.
#[derive(Default)]
struct Node {
    observed: Observed,
    compiled: Compiled,
}

impl Node {
    /// Makes a scene the one that is enforced, as an agent does it.
    fn enforce(&mut self, scene: &Scene) {
        let mut previous = std::mem::take(&mut self.compiled);
        loop {
            let (compiled, plan) = prepare(&scene.input(), &self.observed, Some(&previous), &SMALL).unwrap();
            plan.apply_to(&mut self.observed);
            let leftovers = compiled.leftovers;
            previous = compiled;
            if !leftovers {
                break;
            }
        }
        self.compiled = previous;
    }

    fn verdict(&self, scene: &Scene, pod: &str, direction: Direction, other: &str, port: u16) -> Verdict {
        let compiled = &self.compiled;
        assert_eq!(self.observed.tables, compiled.desired.tables, "all of it is enforced");
        scene.judge(compiled, pod, direction, other, to_tcp(port)).verdict
    }

    fn excess(&self) -> Vec<(&str, Resource)> {
        self.compiled.excesses.iter().map(|excess| (excess.namespace.as_str(), excess.of)).collect()
    }
}

const B: &str = "10.244.0.2";
const C: &str = "10.244.0.3";
const EVIL: &str = "10.244.1.2";

/// What red wrote holds; what black did not want to be reached by stays out.
fn unharmed(node: &Node, scene: &Scene) {
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(node.verdict(scene, "x/a", Direction::Ingress, B, 80), allowed);
    assert_eq!(node.verdict(scene, "x/a", Direction::Ingress, C, 80), Verdict::Drop(DropReason::DefaultDeny));
    assert_eq!(node.verdict(scene, "x/b", Direction::Ingress, EVIL, 80), Verdict::Drop(DropReason::TenantIsolation));
    let closed = node.verdict(scene, "evil/0", Direction::Ingress, EVIL, 80);
    assert_eq!(closed, Verdict::Drop(DropReason::Capacity));
    let open = node.verdict(scene, "evil/0", Direction::Egress, "192.0.2.77", 80);
    assert_eq!(open, Verdict::Allow(AllowReason::NoPolicy), "no policy of it isolates in egress");
}

#[test]
fn more_rules_than_there_are_close_the_tenant_that_asks_for_them() {
    let mut scene = scene();
    let mut node = Node::default();
    node.enforce(&scene);
    assert_eq!(node.excess(), []);
    overfill(&mut scene);
    node.enforce(&scene);
    assert_eq!(node.excess(), [("evil", Resource::Rules)]);
    unharmed(&node, &scene);
    // And back, once it asks for less.
    scene.world.network_policies.retain(|(namespace, _), _| namespace == "x");
    hostile(&mut scene, "one", vec![rule(&[own_pods("own=v1")], &[])]);
    node.enforce(&scene);
    assert_eq!(node.excess(), []);
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(node.verdict(&scene, "evil/0", Direction::Ingress, EVIL, 80), allowed);
}

#[test]
fn so_do_ports_address_ranges_and_intervals() {
    let many_ports = |count: u16| (0..count).map(|port| tcp(2 * port + 1)).collect::<Vec<_>>();
    let by_port = vec![rule(&[own_pods("own=v1")], &many_ports(300))];
    let too_long = vec![rule(&[own_pods("own=v1")], &many_ports(3000))];
    let blocks: Vec<Peer> = (0..60).map(|index| block(&format!("172.16.{index}.0/24"), &[])).collect();
    let cases =
        [(by_port, Resource::Ports), (too_long, Resource::Intervals), (vec![rule(&blocks, &[])], Resource::Ranges)];
    for (ingress, of) in cases {
        let mut scene = scene();
        let mut node = Node::default();
        node.enforce(&scene);
        hostile(&mut scene, "many", ingress);
        node.enforce(&scene);
        assert_eq!(node.excess(), [("evil", of)]);
        unharmed(&node, &scene);
    }
}

fn deny(name: &str, subject: &str, from: &str) -> ClusterNetworkPolicy {
    let pods = |pods: &str| Pods { pods: selector(pods), ..Pods::default() };
    let peers = vec![ClusterPeer::Pods(pods(from))];
    ClusterNetworkPolicy {
        name: name.to_owned(),
        tier: PolicyTier::Admin,
        priority: 0,
        subject: pods(subject),
        ingress: vec![ClusterRule { action: Action::Deny, peers, ports: vec![] }],
        egress: vec![],
    }
}

#[test]
fn administrators_and_tenancy_never_wait_for_room() {
    let mut scene = scene();
    let mut node = Node::default();
    // As much as there is, and not more.
    for index in 0..4 {
        hostile(&mut scene, &format!("p{index}"), vec![rule(&[own_pods(&format!("own=v{index}"))], &[tcp(80)])]);
    }
    node.enforce(&scene);
    assert_eq!(node.excess(), []);
    overfill(&mut scene);
    node.enforce(&scene);
    unharmed(&node, &scene);

    // An administrator denies, for all pods: every set is another one.
    let policy = deny("no-b", "", "app=b");
    scene.world.cluster_network_policies.insert(policy.name.clone(), policy);
    node.enforce(&scene);
    assert_eq!(node.excess(), [("evil", Resource::Rules)]);
    let denied = Verdict::Drop(DropReason::ClusterPolicy);
    assert_eq!(node.verdict(&scene, "x/a", Direction::Ingress, B, 80), denied);
    assert_eq!(node.verdict(&scene, "evil/0", Direction::Ingress, B, 80), denied);

    // A namespace moves to another tenant.
    scene.world.namespaces.remove("x");
    scene.owned("x", "green");
    scene.pod("y/d", "app=d", &["10.244.0.4"]);
    node.enforce(&scene);
    let isolated = Verdict::Drop(DropReason::TenantIsolation);
    assert_eq!(node.verdict(&scene, "x/b", Direction::Ingress, "10.244.0.4", 80), isolated);
    assert_eq!(node.verdict(&scene, "y/d", Direction::Ingress, B, 80), denied);
    assert_eq!(node.verdict(&scene, "y/d", Direction::Ingress, C, 80), isolated);
}

#[test]
fn the_tenant_that_takes_most_goes_first_and_its_largest_namespace_before_its_others() {
    let mut scene = scene();
    scene.owned("evil-too", "black");
    scene.pod("evil-too/z", "app=z", &["10.244.2.1"]);
    let small = NetworkPolicy { ingress: Some(vec![rule(&[own_pods("app=z")], &[])]), ..policy("evil-too", "small") };
    scene.policy(small);
    overfill(&mut scene);
    let mut node = Node::default();
    node.enforce(&scene);
    assert_eq!(node.excess(), [("evil", Resource::Rules)]);
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(node.verdict(&scene, "evil-too/z", Direction::Ingress, "10.244.2.1", 80), allowed);
    assert_eq!(node.verdict(&scene, "x/a", Direction::Ingress, B, 80), allowed);
}

#[test]
fn labels_that_others_select_on_close_nobody_who_asks_for_less() {
    let mut scene = scene();
    // Everybody may reach red's pods; black tells all pods apart that do.
    let everybody = world::pods("", "");
    scene.policy(NetworkPolicy {
        ingress: Some(vec![rule(std::slice::from_ref(&everybody), &[])]),
        ..policy("x", "everybody")
    });
    for index in 0..HOSTILES {
        let one = world::pods("", &format!("own=v{index}"));
        hostile(&mut scene, &format!("p{index}"), vec![rule(&[one, everybody.clone()], &[tcp(80 + index as u16)])]);
    }
    let mut node = Node::default();
    node.enforce(&scene);
    assert!(node.excess().iter().all(|(namespace, _)| *namespace == "evil"), "{:?}", node.excess());
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(node.verdict(&scene, "x/a", Direction::Ingress, B, 80), allowed);
}

#[test]
fn whoever_tells_all_pods_apart_and_matches_none_goes_first_too() {
    let mut scene = scene();
    let everybody = world::pods("", "");
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&[everybody], &[])]), ..policy("x", "everybody") });
    let nobody = world::pods("", "own=nobody,app=nobody");
    hostile(&mut scene, "nobody", vec![rule(&[nobody], &[])]);
    let mut capacities = SMALL;
    capacities.rules = 3 * 20;
    let (compiled, _) = prepare(&scene.input(), &Observed::default(), None, &capacities).unwrap();
    let closed: Vec<&str> = compiled.excesses.iter().map(|excess| excess.namespace.as_str()).collect();
    assert_eq!(closed, ["evil"]);
}

/// A namespace of a tenant, with a pod and a policy that names so many blocks.
fn with_blocks(
    scene: &mut Scene,
    namespace: &str,
    tenant: Option<&str>,
    number: usize,
    nets: impl Iterator<Item = String>,
) {
    let _ = match tenant {
        Some(tenant) => scene.owned(namespace, tenant),
        None => scene.namespace(namespace, ""),
    };
    scene.pod(&format!("{namespace}/p"), "app=p", &[&format!("10.244.3.{}", number + 1)]);
    let blocks: Vec<Peer> = nets.map(|net| block(&net, &[])).collect();
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&blocks, &[])]), ..policy(namespace, "blocks") });
}

fn apart(number: usize, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("172.{}.{index}.0/24", 16 + number))
}

fn closed(scene: &Scene) -> Vec<(String, Resource)> {
    let mut node = Node::default();
    node.enforce(scene);
    node.compiled.excesses.iter().map(|excess| (excess.namespace.clone(), excess.of)).collect()
}

#[test]
fn a_tenant_pays_for_the_blocks_of_all_its_namespaces_together() {
    let mut scene = scene();
    for number in 0..5 {
        with_blocks(&mut scene, &format!("evil-{number}"), Some("black"), number, apart(number, 9 + number % 2));
    }
    // More than any one of them.
    with_blocks(&mut scene, "z", Some("red"), 7, apart(7, 12));
    let closed = closed(&scene);
    assert!(closed.iter().all(|(name, of)| name.starts_with("evil-") && *of == Resource::Ranges), "{closed:?}");
    // 46 + 12 of 40: the two largest of them are enough.
    assert_eq!(closed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["evil-1", "evil-3"]);
}

#[test]
fn namespaces_without_a_tenant_pay_each_for_its_own_blocks() {
    let mut scene = scene();
    for number in 0..4 {
        with_blocks(&mut scene, &format!("evil-{number}"), None, number, apart(number, 11));
    }
    with_blocks(&mut scene, "z", Some("red"), 7, apart(7, 6));
    with_blocks(&mut scene, "small", None, 8, apart(8, 3));
    let closed = closed(&scene);
    assert!(closed.len() == 2 && closed.iter().all(|(name, _)| name.starts_with("evil-")), "{closed:?}");
}

#[test]
fn blocks_that_overlap_are_paid_for_by_who_nests_them() {
    let capacities = Capacities { ranges: 3 * 40_000, rules: 3 * 100_000, ids: 3 * 100_000, ..SMALL };
    let mut scene = scene();
    // Holes make each of many wide blocks another one, and all of them hold all of them.
    scene.owned("evil-0", "black");
    scene.pod("evil-0/p", "app=p", &["10.244.3.1"]);
    let blocks: Vec<Peer> =
        (0..3000_u32).map(|index| block("0.0.0.0/0", &[&format!("11.{}.{}.0/24", index / 256, index % 256)])).collect();
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&blocks, &[])]), ..policy("evil-0", "wide") });
    // A neighbour with more blocks, one of which holds everything.
    let nets = (0..6000).map(|index| format!("12.{}.{}.0/24", index / 256, index % 256));
    with_blocks(&mut scene, "z", Some("red"), 7, nets.chain(["0.0.0.0/0".to_owned()]));
    let (compiled, _) = prepare(&scene.input(), &Observed::default(), None, &capacities).unwrap();
    let closed: Vec<_> = compiled.excesses.iter().map(|excess| (excess.namespace.as_str(), excess.of)).collect();
    assert_eq!(closed, [("evil-0", Resource::Work)]);
}

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
