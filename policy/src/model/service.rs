//! Services and what is behind them: every address that leads to a Service, and every endpoint that it may lead to.
//!
//! Which of the endpoints a node picks (by readiness, traffic policy or session affinity) is not part of it: somebody
//! else picks, at another moment, so a verdict has to hold for each of them.

use std::net::IpAddr;

use compact_str::CompactString;

use super::{Labels, Pod, Protocol};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    /// Of its own namespace's pods; empty where somebody else says where it leads.
    pub selector: Labels,
    /// At most one of each family; none for a headless Service and an ExternalName.
    pub cluster_ips: Vec<IpAddr>,
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`, of either `ipMode`.
    pub load_balancer_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty where the Service has one port.
    pub name: String,
    pub protocol: Protocol,
    /// What clients call.
    pub port: u16,
    pub target: TargetPort,
    /// What clients call at a node's address.
    pub node_port: Option<u16>,
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// Of a container's port; of two with the name, the first.
    Named(String),
}

/// An EndpointSlice `discovery.k8s.io/v1`: where a Service of its own namespace leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    pub namespace: String,
    pub name: String,
    /// Its label `kubernetes.io/service-name`.
    pub service: String,
    pub ports: Vec<EndpointPort>,
    /// None in a slice of names (`addressType: FQDN`).
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of all endpoints of a slice. One without a number is in no slice: nobody sends anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port that it stands for.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Of one family. The first is where packets go; what the others are for nobody has said.
    pub addresses: Vec<IpAddr>,
    /// False for one that is not ready or terminates, unless the Service publishes such.
    pub ready: bool,
}

/// An address and port behind a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceEnd {
    pub address: IpAddr,
    pub port: u16,
    pub ready: bool,
}

impl EndpointSlice {
    /// Where a port of its Service leads.
    pub fn ends(&self, port: &ServicePort) -> impl Iterator<Item = ServiceEnd> {
        let numbers = self.ports.iter().filter(move |it| it.name == port.name && it.protocol == port.protocol);
        let listed = numbers.flat_map(|number| self.endpoints.iter().map(move |endpoint| (number.port, endpoint)));
        listed.flat_map(|(port, SliceEndpoint { addresses, ready })| {
            addresses.iter().map(move |&address| ServiceEnd { address, port, ready: *ready })
        })
    }
}

impl Service {
    #[must_use]
    pub fn selects(&self, pod: &Pod) -> bool {
        let has = |(key, value): (&CompactString, _)| pod.labels.get(key) == Some(value);
        !self.selector.is_empty() && pod.namespace == self.namespace && self.selector.iter().all(has)
    }

    /// Every address at which its ports are called, nodes' not included.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.cluster_ips.iter().chain(&self.external_ips).chain(&self.load_balancer_ips).copied()
    }
}

impl ServicePort {
    /// Where that pod listens; `None` where it has no port of the name.
    #[must_use]
    pub fn on(&self, pod: &Pod) -> Option<u16> {
        match &self.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Named(name) => {
                let mut ports = pod.ports.iter();
                ports.find(|port| port.is_named(self.protocol, name)).map(|port| port.port)
            }
        }
    }
}
