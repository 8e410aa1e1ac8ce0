//! Which kinds are read, in which version.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds that are read; every other kind is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Namespace,
    Node,
    Tenant,
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    Job,
    CronJob,
    Service,
    EndpointSlice,
    ServiceCidr,
    NetworkPolicy,
    ClusterNetworkPolicy,
}

const CAPSULE: &str = "capsule.clastix.io";
/// A version of Tenant that is still served beside the one that is stored.
pub(super) const OLD_TENANT: &str = "capsule.clastix.io/v1beta1";

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::Namespace,
        Self::Node,
        Self::Tenant,
        Self::Pod,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::Job,
        Self::CronJob,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceCidr,
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
    ];

    /// As the API writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Tenant => "Tenant",
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceCidr => "ServiceCIDR",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        }
    }

    /// The one version that is read.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::Node | Self::Pod | Self::Service => "v1",
            Self::Tenant => "capsule.clastix.io/v1beta2",
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::NetworkPolicy | Self::ServiceCidr => "networking.k8s.io/v1",
            Self::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
        }
    }

    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::Tenant | Self::ServiceCidr | Self::ClusterNetworkPolicy)
    }

    /// True for what makes pods from a template.
    #[must_use]
    pub const fn is_workload(self) -> bool {
        matches!(
            self,
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet | Self::Job | Self::CronJob
        )
    }

    /// The kind that a document names. `Ok(None)` for kinds that are not read.
    ///
    /// # Errors
    /// A kind that is read, in a version that is not: the message says which one is.
    pub fn of(api_version: &str, kind: &str) -> Result<Option<Self>, String> {
        let Some(known) = Self::ALL.into_iter().find(|known| known.name() == kind) else {
            return Ok(None);
        };
        let old_tenant = matches!(known, Self::Tenant) && api_version == OLD_TENANT;
        if api_version == known.api_version() || old_tenant {
            return Ok(Some(known));
        }
        if known.is_third_party(api_version) {
            return Ok(None);
        }
        Err(format!("{kind} of {api_version} is not read, use apiVersion: {}", known.api_version()))
    }

    /// True for another project's kind that happens to have the same name (Knative's Service, MinIO's Tenant).
    /// A policy of any group restricts something, so it is never passed over.
    fn is_third_party(self, api_version: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let policy = matches!(self, Self::NetworkPolicy | Self::ClusterNetworkPolicy);
        !policy && group.contains('.') && !group.ends_with(".k8s.io") && group != CAPSULE
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
