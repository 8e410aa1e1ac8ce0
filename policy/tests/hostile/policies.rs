//! Rules, ports and selectors.

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::compile::Resource;
use policy::model::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, NetworkPolicy, Peer, Pods, PolicyTier};
use policy::plan::{Observed, prepare};

use crate::scene::{B, C, EVIL, HOSTILES, Node, SMALL, hostile, overfill, scene, unharmed};
use crate::world::{self, block, own_pods, policy, rule, selector, tcp};

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
