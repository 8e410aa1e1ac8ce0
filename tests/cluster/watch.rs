//! The world that is watched, against a real API server: when it is published, what interruptions do to it, and what
//! becomes of objects that nobody understands.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;

use agent::watch::Resource;
use serde_yaml_ng::Value;
use tests::api_server::{ApiServer, RULES};
use tests::cluster::eventually;
use tests::following::Following;

/// Not the real one, whose schema would keep out what these tests need: objects of a newer version.
const CLUSTER_NETWORK_POLICIES: &str = include_str!("watch/cluster-network-policies.yaml");

const TWO_NAMESPACES: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: x}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: 'y'}}
";

const DENY_ALL: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: x}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

fn cluster_policy(name: &str, peer: &str) -> String {
    format!(
        "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: {name}}}, \
         spec: {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, from: [{peer}]}}]}}}}"
    )
}

/// Defines the kind and waits until it is served. A definition of this moment has no conditions yet, which `kubectl wait`
/// takes for an error.
fn define(server: &ApiServer) {
    server.apply(CLUSTER_NETWORK_POLICIES);
    let established = "wait crd --all --for condition=Established --timeout 5s";
    eventually("the kind is established", 60, || server.try_kubectl(established).then_some(()));
}

#[test]
fn nothing_is_published_before_every_resource_has_been_listed_once() {
    let server = ApiServer::start("w-sync");
    let following = Following::start(&server);
    following.until("everything is refused", |_| {
        let missing = following.watch().missing();
        missing.len() == 9 && missing.iter().all(|line| line.contains("ClusterRole of the chart"))
    });

    server.apply(TWO_NAMESPACES);
    server.grant(&RULES.replace("[namespaces, nodes, pods", "[namespaces, pods"));
    following.until("only nodes are missing", |_| {
        let missing = following.watch().missing();
        matches!(&missing[..], [line] if line.starts_with("nodes cannot be listed"))
    });
    assert!(following.snapshot().is_none());

    server.grant(RULES);
    let snapshot = following.until("a snapshot", Option::is_some).unwrap();
    assert!(snapshot.world.namespaces.contains_key("x") && snapshot.world.namespaces.contains_key("y"));
    assert!(following.watch().missing().is_empty());
}

#[test]
fn a_kind_may_come_later_and_keeps_its_objects_while_it_is_not_served() {
    let server = ApiServer::start("w-crd");
    server.grant(RULES);
    server.apply(TWO_NAMESPACES);
    let following = Following::start(&server);
    let first = following.until("a snapshot", Option::is_some).unwrap();
    assert!(first.world.cluster_network_policies.is_empty());

    define(&server);
    server.apply(&cluster_policy("deny", "{namespaces: {}}"));
    following.until_world("the policy", |world| world.cluster_network_policies.contains_key("deny"));

    server.apply(&CLUSTER_NETWORK_POLICIES.replace("served: true # ours", "served: false"));
    let path = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
    following.until("a 404", |_| !server.try_kubectl(&format!("get --raw {path}")));
    // A change elsewhere makes a new snapshot, in which the policy still is.
    server.apply(DENY_ALL);
    let world = following.until_world("another policy", |world| !world.network_policies.is_empty());
    assert!(world.cluster_network_policies.contains_key("deny"));

    server.apply(CLUSTER_NETWORK_POLICIES);
    following.until("served again", |_| server.try_kubectl(&format!("get --raw {path}")));
    server.kubectl("delete clusternetworkpolicy deny");
    following.until_world("the deletion", |world| world.cluster_network_policies.is_empty());
}

#[test]
fn a_list_after_a_gap_takes_the_old_world_s_place_as_a_whole() {
    let mut server = ApiServer::start("w-gap");
    server.grant(RULES);
    server.apply(TWO_NAMESPACES);
    server.apply(DENY_ALL);
    let following = Following::start(&server);
    following.until_world("the policy", |world| world.network_policies.len() == 1);
    let worlds = following.record();

    server.stop();
    {
        let second = server.second(6444);
        server.apply_at(6444, &DENY_ALL.replace("deny-all", "another"));
        server.apply_at(6444, "{apiVersion: v1, kind: Namespace, metadata: {name: z}}");
        server.kubectl("--server=https://10.89.0.1:6444 delete networkpolicy deny-all --namespace x");
        drop(second);
    }
    server.compact();
    assert_eq!(following.world().network_policies.len(), 1, "while nobody answers the old world stays");
    server.serve();
    following.until_world("the world behind the gap", |world| {
        world.network_policies.contains_key(&("x".to_owned(), "another".to_owned()))
            && world.network_policies.len() == 1
            && world.namespaces.contains_key("z")
    });
    for world in worlds.stop() {
        assert!(!world.network_policies.is_empty(), "at no moment there was none");
        assert!(world.namespaces.contains_key("x") && world.namespaces.contains_key("y"));
    }
}

#[test]
fn what_is_not_understood_fails_closed_and_is_reported() {
    let server = ApiServer::start("w-strange");
    server.grant(RULES);
    define(&server);
    server.apply(&cluster_policy("strange", "{planets: {}}"));
    let following = Following::start(&server);
    let snapshot = following.until("a snapshot", Option::is_some).unwrap();
    let policy = &snapshot.world.cluster_network_policies["strange"];
    assert!(policy.ingress[0].has_unknown_peer(), "{policy:?}");
    let Some(rejected) = snapshot.rejected.first() else { panic!("nothing is reported") };
    assert_eq!(rejected.object.to_string(), "ClusterNetworkPolicy strange");
    assert_eq!(rejected.field, "spec.ingress[0].from[0].planets");
    assert!(!rejected.uid.is_empty() && rejected.effect.contains("deny"));

    server.apply(&cluster_policy("strange", "{namespaces: {}}"));
    following.until("corrected", |snapshot| snapshot.as_ref().is_some_and(|it| it.rejected.is_empty()));
}

#[test]
fn the_chart_grants_what_is_watched_and_events() {
    let rules: Vec<Value> = serde_yaml_ng::from_str(RULES).expect("YAML");
    let strings = |value: &Value| -> Vec<String> {
        value.as_sequence().expect("a list").iter().map(|it| it.as_str().expect("text").to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in &rules {
        let groups = strings(&rule["apiGroups"]);
        for resource in strings(&rule["resources"]) {
            granted.insert((groups.concat(), resource, strings(&rule["verbs"]).join(" ")));
        }
    }
    let watched = Resource::ALL.into_iter().map(|it| (it.group(), it.plural(), "get list watch"));
    let expected = watched.chain([("events.k8s.io", "events", "create patch")]);
    let expected: BTreeSet<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).collect();
    assert_eq!(granted, expected);
}
