//! Namespaces, nodes, pods and Capsule Tenants, reduced to what policy uses.

use std::net::IpAddr;

use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Labels;

/// The transport protocols that a policy or a container port can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The IANA protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As Kubernetes writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    /// Always with `kubernetes.io/metadata.name`.
    pub labels: Labels,
    pub annotations: Labels,
    /// Only references to Capsule Tenants, of any version.
    pub tenant_references: Vec<OwnerReference>,
    /// It is being deleted, and what is in it too, in an order that nobody guarantees.
    pub terminating: bool,
}

/// An ownerReference to a Capsule Tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    pub name: String,
    /// Empty where the reference has none.
    pub uid: String,
}

/// A Capsule Tenant (`capsule.clastix.io/v1beta2`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapsuleTenant {
    pub name: String,
    /// `None` only where a file leaves it out.
    pub uid: Option<String>,
    pub annotations: Labels,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: Labels,
    /// `status.addresses` of type InternalIP and ExternalIP.
    pub addresses: Vec<IpAddr>,
    pub pod_cidrs: Vec<IpNet>,
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodKey {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for PodKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod that has not ended. Succeeded and Failed pods are not in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub annotations: Labels,
    /// At most one of each family; the node's for a hostNetwork pod.
    pub addresses: Vec<IpAddr>,
    pub node: String,
    pub host_network: bool,
    /// Of containers and sidecars (init containers that are always restarted), not of other init containers.
    pub ports: Vec<ContainerPort>,
    /// Probes and hooks that name a host. No policy knows of them.
    pub kubelet_calls: Vec<KubeletCall>,
}

/// A probe or a hook for which the kubelet calls another host than the pod, from the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletCall {
    /// Path of the field.
    pub field: String,
    /// Address or name, as it is written.
    pub host: String,
}

impl Pod {
    #[must_use]
    pub fn key(&self) -> PodKey {
        PodKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    pub name: Option<CompactString>,
    pub protocol: Protocol,
    pub port: u16,
    pub host_port: Option<HostPort>,
}

impl ContainerPort {
    /// True where it has that name.
    #[must_use]
    pub fn is_named(&self, protocol: Protocol, name: &str) -> bool {
        self.protocol == protocol && self.name.as_deref() == Some(name)
    }
}

/// A port of the pod's node that leads to a port of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub port: u16,
    /// `None`: at every address of the node.
    pub address: Option<IpAddr>,
}
