//! What an agent knows of a cluster, and who has an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cluster_policy::ClusterNetworkPolicy;
use super::range;
use super::selector::Labels;
use crate::witness::{Cluster, NODE};

/// The lab's pod ranges, "where no Node says its podCIDRs".
const LAB_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/64"];

/// A cluster's objects, each as its API's type has it.
#[derive(Debug)]
pub struct Seen {
    pub(super) config: Value,
    pub(super) tenants: Vec<Value>,
    pub(super) policies: Vec<NetworkPolicy>,
    pub(super) cluster_policies: Vec<ClusterNetworkPolicy>,
    namespaces: BTreeMap<String, Namespace>,
    unheard: BTreeSet<String>,
    nodes: Vec<Node>,
    pods: Vec<Pod>,
}

/// Who has an address.
#[derive(Debug)]
pub(super) enum Other<'a> {
    Pod(&'a Pod),
    /// "An address in a pod range that no known pod owns."
    UnknownPod,
    OwnNode,
    DistantNode,
    Outside,
}

impl Seen {
    /// # Panics
    /// Where an object is not what its API asks for.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let pods: Vec<Pod> = all(cluster, "Pod");
        let named: Vec<Namespace> = all(cluster, "Namespace");
        let mut namespaces: BTreeMap<String, Namespace> =
            named.into_iter().map(|namespace| (name_of(&namespace.metadata).to_owned(), namespace)).collect();
        for pod in &pods {
            // "a Namespace that is only referred to exists"
            namespaces.entry(namespace_of(&pod.metadata).to_owned()).or_default();
        }
        for (name, namespace) in &mut namespaces {
            let labels = namespace.metadata.labels.get_or_insert_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
            namespace.metadata.name = Some(name.clone());
        }
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        Self {
            config: cluster.config.clone(),
            tenants: cluster.objects.iter().filter(|it| it["kind"] == "Tenant").cloned().collect(),
            policies: all(cluster, "NetworkPolicy"),
            cluster_policies: all(cluster, "ClusterNetworkPolicy"),
            namespaces,
            unheard: cluster.unheard.clone(),
            nodes: all(cluster, "Node"),
            // "Succeeded and Failed pods are in no record and match nothing"
            pods: pods.into_iter().filter(|pod| !["Succeeded", "Failed"].contains(&phase(pod).as_str())).collect(),
        }
    }

    pub(super) fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| format!("{}/{}", namespace_of(&pod.metadata), name_of(&pod.metadata)) == name)
    }

    /// Whether the pod's namespace is known.
    pub(super) fn is_heard_of(&self, pod: &Pod) -> bool {
        !self.unheard.contains(namespace_of(&pod.metadata))
    }

    pub(super) fn namespace(&self, pod: &Pod) -> Option<&Namespace> {
        self.namespaces.get(namespace_of(&pod.metadata))
    }

    pub(super) fn namespace_labels(&self, pod: &Pod) -> &Labels {
        let labels = self.namespace(pod).and_then(|namespace| namespace.metadata.labels.as_ref());
        labels.expect("every namespace has its name as a label")
    }

    pub(super) fn nodes_at(&self, address: IpAddr) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node_addresses(node).contains(&address))
    }

    /// Whether a node has an address.
    #[must_use]
    pub fn has(&self, node: &str, address: IpAddr) -> bool {
        self.nodes_at(address).any(|it| name_of(&it.metadata) == node)
    }

    /// Whether a pod's node has an address, and no pod has it.
    pub(super) fn is_own_node(&self, pod: &str, address: IpAddr) -> bool {
        let node = self.pod(pod).and_then(|pod| pod.spec.as_ref()?.node_name.as_deref()).unwrap_or(NODE);
        let is_pods = |pod: &Pod| !is_on_host(pod) && pod_addresses(pod).contains(&address);
        self.has(node, address) && !self.pods.iter().any(is_pods)
    }

    /// "A pod's address always wins." "A hostNetwork pod is its node."
    pub(super) fn other(&self, judged: &Pod, address: IpAddr) -> Other<'_> {
        let has = |pod: &&Pod| !is_on_host(pod) && pod_addresses(pod).contains(&address);
        if let Some(pod) = self.pods.iter().find(has) {
            return if self.is_heard_of(pod) { Other::Pod(pod) } else { Other::UnknownPod };
        }
        let own = judged.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or(NODE);
        if self.has(own, address) {
            return Other::OwnNode;
        }
        if self.nodes_at(address).next().is_some() {
            return Other::DistantNode;
        }
        let in_pod_range = self.pod_ranges().iter().any(|cidr| range::holds(cidr, address));
        if in_pod_range { Other::UnknownPod } else { Other::Outside }
    }

    /// The configured ones, "empty: from the Nodes".
    fn pod_ranges(&self) -> Vec<String> {
        let configured = self.config["cluster"]["podCIDRs"].as_array();
        let configured = configured.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let configured: Vec<String> = configured.collect();
        if !configured.is_empty() {
            return configured;
        }
        let specs = self.nodes.iter().filter_map(|node| node.spec.as_ref());
        let told: Vec<String> = specs.flat_map(|spec| spec.pod_cidrs.iter().flatten()).cloned().collect();
        if told.is_empty() { LAB_RANGES.map(str::to_owned).to_vec() } else { told }
    }
}

fn all<T: DeserializeOwned>(cluster: &Cluster, kind: &str) -> Vec<T> {
    let written = cluster.objects.iter().filter(|object| object["kind"] == kind);
    written.map(|object| T::deserialize(object).unwrap_or_else(|error| panic!("{error}: {object}"))).collect()
}

pub(super) fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn namespace_of(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or("default")
}

pub(super) fn labels_of(metadata: &ObjectMeta) -> Labels {
    metadata.labels.clone().unwrap_or_default()
}

fn is_on_host(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default()
}

fn pod_addresses(pod: &Pod) -> Vec<IpAddr> {
    let addresses = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    addresses.map(|address| address.ip.parse().expect("an address")).collect()
}

fn node_addresses(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let addresses = addresses.filter(|it| ["InternalIP", "ExternalIP"].contains(&it.type_.as_str()));
    addresses.map(|it| it.address.parse().expect("an address")).collect()
}
