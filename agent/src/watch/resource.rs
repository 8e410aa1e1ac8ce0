//! What is watched: the API resources, and what of their objects is kept.

use std::fmt;

/// An API resource that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    Namespaces,
    Nodes,
    Pods,
    Services,
    EndpointSlices,
    ServiceCidrs,
    NetworkPolicies,
    ClusterNetworkPolicies,
    Tenants,
}

impl Resource {
    pub const ALL: [Self; 9] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Pods,
        Self::Services,
        Self::EndpointSlices,
        Self::ServiceCidrs,
        Self::NetworkPolicies,
        Self::ClusterNetworkPolicies,
        Self::Tenants,
    ];

    /// Group (empty for the core's), version, kind and plural: the one version that is read.
    const fn parts(self) -> [&'static str; 4] {
        match self {
            Self::Namespaces => ["", "v1", "Namespace", "namespaces"],
            Self::Nodes => ["", "v1", "Node", "nodes"],
            Self::Pods => ["", "v1", "Pod", "pods"],
            Self::Services => ["", "v1", "Service", "services"],
            Self::EndpointSlices => ["discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"],
            Self::ServiceCidrs => ["networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs"],
            Self::NetworkPolicies => ["networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"],
            Self::ClusterNetworkPolicies => {
                ["policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies"]
            }
            Self::Tenants => ["capsule.clastix.io", "v1beta2", "Tenant", "tenants"],
        }
    }

    /// The API group; empty for the core's.
    #[must_use]
    pub const fn group(self) -> &'static str {
        self.parts()[0]
    }

    /// As the API writes it in paths and rules, and metrics in their label `resource`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.parts()[3]
    }

    #[must_use]
    pub const fn version(self) -> &'static str {
        self.parts()[1]
    }

    /// As the API writes it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.parts()[2]
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group() {
            "" => f.write_str(self.plural()),
            group => write!(f, "{}.{group}", self.plural()),
        }
    }
}
