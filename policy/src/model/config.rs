//! The part of the configuration (CONTRACT.md §2) that judgement depends on.

pub use common::abi::Mode as Isolation;
use ipnet::IpNet;

use super::{Labels, Pod};

/// Validated configuration. `ipnet` lists are empty where the world decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub mode: Isolation,
    pub untenanted: Untenanted,
    /// The first source that gives a namespace a tenant wins.
    pub sources: Vec<TenantSource>,
    pub unknown_endpoints: UnknownEndpoints,
    /// Tunnel packets from a pod to what is no known pod are judged like any other.
    pub allow_tunnels: bool,
    /// UDP ports of tunnels, beside those that are known and those of the node's devices.
    pub tunnel_ports: Vec<u16>,
    /// Pods that forward for others; none unless an administrator names them.
    pub routers: Vec<RouterPods>,
    pub pod_cidrs: Vec<IpNet>,
    pub service_cidrs: Vec<IpNet>,
    /// Where the agents serve metrics and health at nodes' addresses; 0 where they do not.
    pub agent_port: u16,
}

/// Where agents serve unless they are told otherwise.
pub const AGENT_PORT: u16 = 9469;

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Isolation::Baseline,
            untenanted: Untenanted::Platform,
            sources: vec![TenantSource::Capsule],
            unknown_endpoints: UnknownEndpoints::Drop,
            allow_tunnels: false,
            tunnel_ports: Vec::new(),
            routers: Vec::new(),
            pod_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            agent_port: AGENT_PORT,
        }
    }
}

/// What a namespace without a tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untenanted {
    /// The platform's own: reaches tenants and is reached.
    Platform,
    /// A tenant of its own.
    Isolated,
}

/// Where a namespace's (or, for `PodLabel`, a pod's) tenant is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantSource {
    Capsule,
    NamespaceLabel(String),
    NamespaceAnnotation(String),
    PodLabel(String),
}

/// What happens at a pod's veth whose pod is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownEndpoints {
    Drop,
    Allow,
}

/// Pods of one namespace that may send under addresses which are no pod's and no node's, and get what is sent to them.
///
/// The namespace is meant by its name, which nobody can forge. The labels are for whoever may make pods there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterPods {
    pub namespace: String,
    /// All of them; empty is every pod of the namespace.
    pub labels: Labels,
}

impl RouterPods {
    #[must_use]
    pub fn include(&self, pod: &Pod) -> bool {
        pod.namespace == self.namespace && self.labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }
}
