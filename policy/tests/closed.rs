//! Closed pods: what their senders' nodes drop for them, they would drop themselves; and under masquerade nobody gets
//! in who would not without.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{Direction, Peer as Word, PortKey};
use common::decide::{Question, Verdict, foreign, judge};
use policy::compile::Compiled;
use policy::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Isolation, NetworkPolicy, Peer, Pods, PolicyTier,
};
use proptest::prelude::*;
use world::{Scene, block, ip, labels, naive, own_pods, pods, policy, random, rule, selector, tcp};

fn word(compiled: &Compiled, address: &str) -> Word {
    compiled.desired.tables.peer_of(ip(address))
}

/// Pods a/web and b/client of two tenants, and p/tool of none.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("a", "red");
    scene.owned("b", "green");
    scene.namespace("p", "");
    scene.pod("a/web", "app=web", &["10.244.0.1"]);
    scene.pod("b/client", "", &["10.244.0.2"]);
    scene.pod("p/tool", "", &["10.244.0.3"]);
    scene
}

fn web_is_closed(scene: &Scene) -> bool {
    word(&scene.compile(), "10.244.0.1").is_closed()
}

fn admitting(peers: &[Peer]) -> NetworkPolicy {
    NetworkPolicy { ingress: Some(vec![rule(peers, &[tcp(80)])]), ..policy("a", "p") }
}

fn cluster(tier: PolicyTier, action: Action, namespaces: &str) -> ClusterNetworkPolicy {
    let all = || Pods { namespaces: selector(""), pods: selector("") };
    let peer = ClusterPeer::Pods(Pods { namespaces: selector(namespaces), ..all() });
    let rule = ClusterRule { action, peers: vec![peer], ports: Vec::new() };
    ClusterNetworkPolicy {
        name: "c".to_owned(),
        tier,
        priority: 0,
        subject: all(),
        ingress: vec![rule],
        egress: Vec::new(),
    }
}

#[test]
fn a_pod_that_isolation_alone_holds_apart_is_closed() {
    let mut scene = scene();
    for (mode, closed) in
        [(Isolation::Off, false), (Isolation::Audit, false), (Isolation::Baseline, true), (Isolation::Strict, true)]
    {
        scene.config.mode = mode;
        assert_eq!(web_is_closed(&scene), closed, "{mode:?}");
    }
    assert!(!word(&scene.compile(), "10.244.0.3").is_closed(), "the platform's");
}

#[test]
fn a_rule_that_may_let_another_tenant_in_opens_it() {
    let mut scene = scene();
    let named = |namespaces: &str| admitting(&[pods(namespaces, ""), block("0.0.0.0/0", &[])]);
    for (namespaces, closed) in [
        ("kubernetes.io/metadata.name=b", false),
        ("capsule.clastix.io/tenant=red", true),
        ("kubernetes.io/metadata.name=p", true),
        ("kubernetes.io/metadata.name", false),
        ("kubernetes.io/metadata.name=nobody", true),
    ] {
        scene.policy(named(namespaces));
        assert_eq!(web_is_closed(&scene), closed, "{namespaces}");
    }
    scene.config.mode = Isolation::Strict;
    scene.policy(named("kubernetes.io/metadata.name=b"));
    assert!(web_is_closed(&scene), "strict is above every NetworkPolicy");
}

#[test]
fn rules_that_name_no_namespaces_open_nothing() {
    let mut scene = scene();
    scene.policy(admitting(&[]));
    assert!(web_is_closed(&scene), "whoever comes from a node's address would be let in");
    scene.policy(admitting(&[block("192.0.2.0/24", &[])]));
    assert!(web_is_closed(&scene));
    scene.policy(admitting(&[own_pods("")]));
    assert!(!web_is_closed(&scene), "nothing from a node's address is let in: its own node says why");
}

#[test]
fn a_cluster_policy_opens_where_it_accepts_another_tenant() {
    use {Action::*, PolicyTier::*};
    let mut scene = scene();
    for (tier, action, namespaces, closed) in [
        (Admin, Accept, "", false),
        (Admin, Accept, "kubernetes.io/metadata.name=p", true),
        (Admin, Accept, "kubernetes.io/metadata.name=b", false),
        (Admin, Deny, "", true),
        (Admin, Pass, "", true),
        (Baseline, Accept, "", false),
        (Baseline, Accept, "kubernetes.io/metadata.name=p", true),
    ] {
        scene.world.cluster_network_policies.insert("c".to_owned(), cluster(tier, action, namespaces));
        assert_eq!(web_is_closed(&scene), closed, "{tier:?} {action:?} {namespaces}");
    }
    scene.world.cluster_network_policies.insert("c".to_owned(), cluster(Baseline, Accept, ""));
    scene.policy(admitting(&[]));
    assert!(web_is_closed(&scene), "the Baseline tier is not asked about a pod that NetworkPolicies isolate");
    scene.owned("a", "red").annotations = labels("bulkhead.dev/isolation=strict");
    scene.world.network_policies.clear();
    assert!(web_is_closed(&scene), "nor under strict");
}

/// Whether the naive evaluator lets a pod in.
fn admits(scene: &Scene, receiver: &policy::model::PodKey, sender: std::net::IpAddr, port: (u8, u16)) -> bool {
    let judged = naive::judge(scene, receiver, Direction::Ingress, sender, port.0, port.1);
    matches!(judged.verdict, Verdict::Allow(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_the_sender_drops_the_receiver_would(scene in random::scene()) {
        let compiled = scene.compile();
        let tables = &compiled.desired.tables;
        let known = |key| scene.world.pods.get(key).filter(|pod| scene.world.namespaces.contains_key(&pod.namespace));
        let pods: Vec<_> = scene.node.endpoints.iter().filter_map(|it| Some((it, known(it.pod.as_ref()?)?))).collect();
        for (binding, sender) in &pods {
            let profile = tables.profile_of(binding.slot).unwrap();
            for (at, receiver) in &pods {
                if sender.key() == receiver.key() {
                    continue;
                }
                let (from, to) = (sender.addresses[0], receiver.addresses[0]);
                let peer = tables.peer_of(to);
                let mode = tables.profile_of(at.slot).unwrap().mode();
                let apart = foreign(profile.tenant, peer).filter(|_| mode >= Isolation::Baseline);
                for port in random::questions() {
                    let key = PortKey::new(port.0, port.1);
                    let asked = judge(tables, profile, Question::new(Direction::Egress, peer, key));
                    let lets_in = admits(&scene, &receiver.key(), from, port);
                    prop_assert!(asked.refused.is_none() || !lets_in, "{} to {} {port:?}", sender.key(), receiver.key());
                    // What its address would hide is held back, unless the receiver may let some other tenant in.
                    let hidden = !lets_in && apart.is_some() && !peer.is_closed();
                    if hidden && admits(&scene, &receiver.key(), ip("192.0.2.2"), port) {
                        prop_assert!(names_somebody(&scene), "{} to {} {port:?}", sender.key(), receiver.key());
                    }
                }
            }
        }
    }
}

/// Rules are looked at by namespace and not by pod: where one might let another tenant in, the receiver judges.
fn names_somebody(scene: &Scene) -> bool {
    let policies = scene.world.network_policies.values();
    let mut rules = policies.flat_map(|policy| policy.ingress.iter().flatten());
    rules.any(|rule| rule.peers.iter().any(Peer::names_namespaces))
        || scene.world.cluster_network_policies.values().any(|policy| !policy.ingress.is_empty())
}
