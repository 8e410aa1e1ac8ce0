//! The whole world that policy is compiled from.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{
    CapsuleTenant, ClusterNetworkPolicy, Config, Departures, EndpointSlice, InvalidPolicy, Namespace, NetworkPolicy,
    Node, Pod, PodKey, Service,
};

/// Everything that is known of a cluster, by name. A value: two equal worlds compile to the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub namespaces: BTreeMap<String, Namespace>,
    pub nodes: BTreeMap<String, Node>,
    pub pods: BTreeMap<PodKey, Pod>,
    pub tenants: BTreeMap<String, CapsuleTenant>,
    /// By namespace and name.
    pub network_policies: BTreeMap<(String, String), NetworkPolicy>,
    /// By namespace and name, none of which is among the policies above.
    pub invalid_policies: BTreeMap<(String, String), InvalidPolicy>,
    /// By name.
    pub cluster_network_policies: BTreeMap<String, ClusterNetworkPolicy>,
    /// By namespace and name.
    pub services: BTreeMap<(String, String), Service>,
    /// Namespaces with Services of which not even the addresses are kept: pods of their owners open nothing, so that nobody
    /// gains by it.
    pub unread_services: BTreeSet<String>,
    /// By namespace and name.
    pub endpoint_slices: BTreeMap<(String, String), EndpointSlice>,
    /// What counted of Services and their slices until a moment ago.
    pub departed: Departures,
    /// The ranges of ServiceCIDR objects, by name. None at all where the API server has no such kind.
    pub service_cidrs: BTreeMap<String, Vec<IpNet>>,
}

impl World {
    /// Where pods' addresses come from: configured, or else the Nodes'. None known is no range at all.
    #[must_use]
    pub fn pod_ranges(&self, config: &Config) -> Vec<IpNet> {
        if config.pod_cidrs.is_empty() {
            self.nodes.values().flat_map(|node| &node.pod_cidrs).map(IpNet::trunc).collect()
        } else {
            config.pod_cidrs.iter().map(IpNet::trunc).collect()
        }
    }
}

/// What decided a verdict, as people read it (CONTRACT.md §4, `rules`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectRef {
    /// `networkpolicy/NS/NAME` or `networkpolicy/NS/NAME ingress[0]`.
    NetworkPolicy { namespace: String, name: String, rule: Option<RuleIndex> },
    /// `clusternetworkpolicy/NAME egress[1]`.
    ClusterNetworkPolicy { name: String, rule: RuleIndex },
    /// `tenancy/TENANT`.
    Tenancy { tenant: String },
    /// `service/NS/NAME`: whose backends are not judged alike.
    Service { namespace: String, name: String },
    /// `pod/NS/NAME`: whose `hostPort` is called.
    Pod { namespace: String, name: String },
}

/// A rule of a policy: its direction and its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex {
    pub direction: common::abi::Direction,
    pub index: usize,
}

impl std::fmt::Display for RuleIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.direction.name(), self.index)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NetworkPolicy { namespace, name, rule: None } => write!(f, "networkpolicy/{namespace}/{name}"),
            Self::NetworkPolicy { namespace, name, rule: Some(rule) } => {
                write!(f, "networkpolicy/{namespace}/{name} {rule}")
            }
            Self::ClusterNetworkPolicy { name, rule } => write!(f, "clusternetworkpolicy/{name} {rule}"),
            Self::Tenancy { tenant } => write!(f, "tenancy/{tenant}"),
            Self::Service { namespace, name } => write!(f, "service/{namespace}/{name}"),
            Self::Pod { namespace, name } => write!(f, "pod/{namespace}/{name}"),
        }
    }
}
