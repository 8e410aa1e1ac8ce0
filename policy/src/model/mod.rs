//! What a cluster says, reduced to the fields that policy uses. Everything here has been validated by whoever
//! read it (the agent's `ingest`): there are no raw strings left that could fail to parse.

mod cluster_network_policy;
mod config;
mod departed;
mod invalid_policy;
mod network_policy;
mod objects;
mod printable;
mod selector;
mod service;
pub mod tenants;
mod terminating;
mod world;

pub use cluster_network_policy::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Pods, PolicyTier};
pub use config::{AGENT_PORT, Config, Isolation, RouterPods, TenantSource, UnknownEndpoints, Untenanted};
pub use departed::{Departed, Departures, HELD};
pub use invalid_policy::InvalidPolicy;
pub use network_policy::{Block, NamespaceScope, NetworkPolicy, Peer, Port, Rule};
pub use objects::{
    CapsuleTenant, ContainerPort, HostPort, KubeletCall, Namespace, Node, OwnerReference, Pod, PodKey, Protocol,
};
pub use printable::{is_printable, printable, told};
pub use selector::{Labels, Operator, Requirement, Selector};
pub use service::{EndpointPort, EndpointSlice, Service, ServiceEnd, ServicePort, SliceEndpoint, TargetPort};
pub use world::{ObjectRef, RuleIndex, World};
