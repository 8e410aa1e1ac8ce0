//! ClusterNetworkPolicy as it is written (network-policy-api v0.2.0, both channels): the parts that are read one by one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

/// Exactly one.
#[derive(Deserialize)]
pub struct Subject {
    pub namespaces: Option<LabelSelector>,
    pub pods: Option<NamespacedPod>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedPod {
    /// Absent: every namespace.
    pub namespace_selector: Option<LabelSelector>,
    pub pod_selector: LabelSelector,
}

#[derive(Deserialize)]
#[serde(expecting = "a rule with action and from")]
pub struct IngressRule {
    pub name: Option<String>,
    pub action: String,
    pub from: Vec<Peer>,
    pub protocols: Option<Vec<Protocol>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a rule with action and to")]
pub struct EgressRule {
    pub name: Option<String>,
    pub action: String,
    pub to: Vec<Peer>,
    pub protocols: Option<Vec<Protocol>>,
}

/// Exactly one; the last three in egress alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    pub namespaces: Option<LabelSelector>,
    pub pods: Option<NamespacedPod>,
    pub networks: Option<Vec<String>>,
    pub nodes: Option<LabelSelector>,
    pub domain_names: Option<Vec<String>>,
}

/// Exactly one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub tcp: Option<Transport>,
    pub udp: Option<Transport>,
    pub sctp: Option<Transport>,
    pub destination_named_port: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transport {
    pub destination_port: Option<Port>,
}

/// Exactly one.
#[derive(Deserialize)]
pub struct Port {
    pub number: Option<i32>,
    pub range: Option<PortRange>,
}

#[derive(Deserialize)]
pub struct PortRange {
    pub start: i32,
    pub end: i32,
}
