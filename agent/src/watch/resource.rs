//! The API resources that are watched.

use std::fmt;

use crate::ingest::Kind;

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

    /// What its objects are.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Namespaces => Kind::Namespace,
            Self::Nodes => Kind::Node,
            Self::Pods => Kind::Pod,
            Self::Services => Kind::Service,
            Self::EndpointSlices => Kind::EndpointSlice,
            Self::ServiceCidrs => Kind::ServiceCidr,
            Self::NetworkPolicies => Kind::NetworkPolicy,
            Self::ClusterNetworkPolicies => Kind::ClusterNetworkPolicy,
            Self::Tenants => Kind::Tenant,
        }
    }

    /// As the API writes it in paths and rules, and metrics in their label `resource`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::ServiceCidrs => "servicecidrs",
            Self::NetworkPolicies => "networkpolicies",
            Self::ClusterNetworkPolicies => "clusternetworkpolicies",
            Self::Tenants => "tenants",
        }
    }

    /// The API group; empty for the core's.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.kind().api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// The one version that is read.
    pub(super) fn version(self) -> &'static str {
        let whole = self.kind().api_version();
        whole.split_once('/').map_or(whole, |(_, version)| version)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())?;
        if self.group().is_empty() { Ok(()) } else { write!(f, ".{}", self.group()) }
    }
}
