//! Random ClusterNetworkPolicies.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::selector::{of_namespaces, selector};
use super::{CIDRS, Extent, PORT_NAMES, PORTS, object};

/// Few priorities, so that names decide now and then. The name is to be filled in.
pub fn policy(extent: Extent) -> impl Strategy<Value = Value> {
    let tier = select(&["Admin", "Baseline"][..]);
    let rules = move |peers| option::weighted(0.8, vec(rule(extent, peers), 0..3).prop_map(Value::from));
    (tier, 0..3u16, pods(), rules("from"), rules("to")).prop_map(|(tier, priority, subject, ingress, egress)| {
        let spec = object([
            ("tier", Some(tier.into())),
            ("priority", Some(priority.into())),
            ("subject", Some(subject)),
            ("ingress", ingress),
            ("egress", egress),
        ]);
        let api = "policy.networking.k8s.io/v1alpha2";
        json!({"apiVersion": api, "kind": "ClusterNetworkPolicy", "metadata": {}, "spec": spec})
    })
}

/// Exactly one of `namespaces`, `pods`: a subject or a peer.
fn pods() -> impl Strategy<Value = Value> {
    let pods = (option::of(of_namespaces()), selector()).prop_map(
        |(namespaces, pods)| json!({"pods": object([("namespaceSelector", namespaces), ("podSelector", Some(pods))])}),
    );
    prop_oneof![of_namespaces().prop_map(|namespaces| json!({"namespaces": namespaces})), pods]
}

fn rule(extent: Extent, peers: &'static str) -> impl Strategy<Value = Value> {
    let protocols = option::of(vec(protocol(), 1..3).prop_map(Value::from));
    (select(&["Accept", "Deny", "Pass"][..]), addressed(extent, peers), protocols).prop_map(
        move |(action, (listed, has_addresses), protocols)| {
            // The API refuses names of ports where a peer is no pod.
            let named = |protocols: &Value| protocols.to_string().contains("destinationNamedPort");
            let protocols = protocols.filter(|protocols| !(has_addresses && named(protocols)));
            // Names of hosts are only in rules that accept.
            let hosts = listed.to_string().contains("domainNames");
            let action = if hosts { "Accept" } else { action };
            object([("action", Some(action.into())), (peers, Some(listed)), ("protocols", protocols)])
        },
    )
}

/// Peers, and whether one of them is no pod.
fn addressed(extent: Extent, peers: &'static str) -> impl Strategy<Value = (Value, bool)> {
    let networks = subsequence(CIDRS.to_vec(), 1..3).prop_map(|networks| json!({"networks": networks}));
    let nodes = selector().prop_map(|nodes| json!({"nodes": nodes}));
    let hosts = Just(json!({"domainNames": ["example.com"]}));
    let known = if peers == "from" {
        pods().boxed()
    } else {
        prop_oneof![6 => pods(), 3 => networks, 3 => nodes, 1 => hosts].boxed()
    };
    // Of a later API.
    let unknown = Just(json!({"example.com/peers": {}}));
    let peer = if extent == Extent::Whole { prop_oneof![12 => known, 1 => unknown].boxed() } else { known };
    vec(peer, 1..3).prop_map(|listed| {
        let is_pods = |peer: &Value| peer.get("pods").is_some() || peer.get("namespaces").is_some();
        let has_addresses = !listed.iter().all(is_pods);
        (Value::from(listed), has_addresses)
    })
}

fn protocol() -> impl Strategy<Value = Value> {
    let number = select(&PORTS[..]).prop_map(|port| json!({"number": port}));
    let range =
        (select(&PORTS[..]), 1..3u16).prop_map(|(start, more)| json!({"range": {"start": start, "end": start + more}}));
    let port = (select(&["tcp", "udp", "sctp"][..]), prop_oneof![2 => number, 1 => range])
        .prop_map(|(protocol, port)| json!({protocol: {"destinationPort": port}}));
    let name = select(&PORT_NAMES[..]).prop_map(|name| json!({"destinationNamedPort": name}));
    prop_oneof![3 => port, 1 => name]
}
