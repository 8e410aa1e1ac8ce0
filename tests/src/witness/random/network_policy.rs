//! Random NetworkPolicies.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::selector::{of_namespaces, selector};
use super::{CIDRS, Extent, NAMESPACES, PORT_NAMES, PORTS, PROTOCOLS, object};

/// The name is to be filled in.
pub fn policy(extent: Extent) -> impl Strategy<Value = Value> {
    let types = option::weighted(0.7, subsequence(vec!["Ingress", "Egress"], 1..=2));
    let rules = (rules("from"), rules("to"), prop::bool::weighted(if extent == Extent::Whole { 0.05 } else { 0.0 }));
    (select(&NAMESPACES[..]), option::weighted(0.9, selector()), types, rules).prop_map(
        |(namespace, subject, types, (mut ingress, egress, is_of_later_api))| {
            if is_of_later_api {
                ingress = Some(json!([{"from": [{"example.com/peers": {}}]}]));
            }
            let spec = object([
                ("podSelector", subject),
                ("policyTypes", types.map(Value::from)),
                ("ingress", ingress),
                ("egress", egress),
            ]);
            let metadata = json!({"namespace": namespace});
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
        },
    )
}

/// Absent, none, or some.
fn rules(peers: &'static str) -> impl Strategy<Value = Option<Value>> {
    let list = |of: BoxedStrategy<Value>| option::weighted(0.8, vec(of, 0..3).prop_map(Value::from));
    let rule = (list(peer().boxed()), list(port().boxed()))
        .prop_map(move |(listed, ports)| object([(peers, listed), ("ports", ports)]));
    option::weighted(0.8, vec(rule, 0..3).prop_map(Value::from))
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => selector().prop_map(|pods| json!({"podSelector": pods})),
        2 => of_namespaces().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        2 => (of_namespaces(), selector())
            .prop_map(|(namespaces, pods)| json!({"namespaceSelector": namespaces, "podSelector": pods})),
        3 => block().prop_map(|block| json!({"ipBlock": block})),
    ]
}

fn block() -> impl Strategy<Value = Value> {
    (select(&CIDRS[..]), option::of(subsequence(CIDRS.to_vec(), 0..4))).prop_map(|(cidr, except)| {
        let inside = except.map(|except| except.into_iter().filter(|hole| is_inside(cidr, hole)).collect::<Vec<_>>());
        object([("cidr", Some(cidr.into())), ("except", inside.map(Value::from))])
    })
}

/// A strict subset, as the API server asks for.
fn is_inside(cidr: &str, hole: &str) -> bool {
    let [cidr, hole] = [cidr, hole].map(|text| text.parse::<ipnet::IpNet>().expect("a range").trunc());
    cidr.contains(&hole) && cidr != hole
}

fn port() -> impl Strategy<Value = Value> {
    let number = (select(&PORTS[..]), option::weighted(0.4, 0..2u16)).prop_map(|(port, more)| {
        object([("port", Some(port.into())), ("endPort", more.map(|more| (port + more).into()))])
    });
    let whole = Just(json!({"port": 1, "endPort": 65535}));
    let name = select(&PORT_NAMES[..]).prop_map(|name| json!({"port": name}));
    let port = prop_oneof![1 => Just(json!({})), 6 => number, 1 => whole, 3 => name];
    (port, option::weighted(0.8, select(&PROTOCOLS[..]))).prop_map(|(mut port, protocol)| {
        if let Some(protocol) = protocol {
            port["protocol"] = protocol.into();
        }
        port
    })
}
