//! Random clusters, small enough that most of their rules meet some flow. Names and addresses are always the same ones, so
//! that any of them can follow another.

mod change;
mod cluster_policy;
mod network_policy;
mod objects;
mod selector;

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::Cluster;
use super::naive::AGENT_PORT;
pub use change::{Change, change};

/// Of every cluster's pods.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// `NAMESPACE/NAME`, each with one address of each family: [`pod_addresses`].
pub const PODS: [&str; 6] = ["x/a", "x/b", "y/a", "y/b", "z/a", "z/b"];
const HOST_POD: &str = "z/host";
const TENANTS: [&str; 2] = ["red", "green"];
const NODES: [(&str, &str, &str); 2] =
    [(super::NODE, "172.18.0.2", "fd00:172:18::2"), ("other", "172.18.0.3", "fd00:172:18::3")];
const PORTS: [u16; 5] = [53, 80, 81, 8080, AGENT_PORT];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const PORT_NAMES: [&str; 3] = ["web", "dns", "none"];
/// Some with bits set beyond their prefix.
const CIDRS: [&str; 14] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.244.0.0/16",
    "10.244.0.8/29",
    "10.244.0.13/31",
    "10.244.0.11/32",
    "172.18.0.0/16",
    "172.18.0.3/32",
    "198.51.100.7/24",
    "198.51.100.0/25",
    "::/0",
    "fd00:10:244::/64",
    "fd00:10:244::c/127",
    "2001:db8::/32",
];

/// Addresses of no pod and no node.
pub const EXTERNALS: [&str; 5] = ["198.51.100.1", "198.51.100.200", "203.0.113.9", "2001:db8::1", "2001:db9::1"];
/// In a pod range, and nobody's.
const UNKNOWN: [&str; 2] = ["10.244.0.99", "fd00:10:244::99"];

/// What kinds of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything: two nodes, namespaces that nobody has heard of.
    Whole,
    /// What a lab can be: one node, on which all is known.
    OneNode,
}

/// The addresses of a pod of [`PODS`], by its place there.
#[must_use]
pub fn pod_addresses(place: usize) -> [IpAddr; 2] {
    let number = u16::try_from(place).expect("few pods") + 11;
    [format!("10.244.0.{number}"), format!("fd00:10:244::{number:x}")].map(|text| text.parse().expect("an address"))
}

/// Every address that is worth asking about: pods', unknown pods', nodes', and others.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let pods = (0..PODS.len()).flat_map(pod_addresses);
    let nodes = NODES.iter().flat_map(|(_, v4, v6)| [*v4, *v6]);
    let others = nodes.chain(EXTERNALS).chain(UNKNOWN).map(|text| text.parse().expect("an address"));
    pods.chain(others).collect()
}

/// A cluster. Smaller ones have fewer objects.
pub fn cluster(extent: Extent) -> BoxedStrategy<Cluster> {
    let people = (objects::tenants(), objects::namespaces());
    let machines = (objects::nodes(extent), objects::pods(extent));
    let policies = (vec(network_policy::policy(extent), 0..6), vec(cluster_policy::policy(extent), 0..4));
    let unheard = if extent == Extent::Whole { 0..2usize } else { 0..1 };
    let unheard = prop_oneof![8 => Just(BTreeSet::new()), 1 => btree_set(select(&NAMESPACES[..]), unheard)];
    (people, machines, policies, objects::config(), unheard)
        .prop_map(|((tenants, namespaces), (nodes, pods), (own, cluster), config, unheard)| {
            let policies = numbered("p", own).chain(numbered("c", cluster));
            let objects = [tenants, namespaces, nodes, pods].into_iter().flatten().chain(policies).collect();
            Cluster { objects, config, unheard: unheard.into_iter().map(str::to_owned).collect() }
        })
        .boxed()
}

/// Names for objects that have none: `p0`, `p1` …
fn numbered(prefix: &str, objects: Vec<Value>) -> impl Iterator<Item = Value> {
    (0..).zip(objects).map(move |(number, mut object): (usize, Value)| {
        object["metadata"]["name"] = format!("{prefix}{number}").into();
        object
    })
}

/// An object without the fields that are not set.
fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect())
}
