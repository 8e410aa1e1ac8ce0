//! Services and what is behind them: every address that leads to a Service, and every endpoint that it may lead to.
//!
//! The endpoint that a node picks (by readiness, traffic policy or session affinity) is not part of it: another program
//! picks, at another moment, so a verdict has to hold for each of them.

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
    /// `status.loadBalancer.ingress[].ip` of `ipMode: VIP`. kube-proxy does not rewrite one of `ipMode: Proxy`.
    pub load_balancer_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    /// A label asks kube-proxy to pass over it: nothing is rewritten.
    pub is_passed_over: bool,
    /// A traffic policy is `Local`: a node may pick an endpoint that is not ready though others are.
    pub is_local: bool,
    /// A part of it could not be read: what its addresses lead to is not known.
    pub is_undecided: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// None in a slice that kube-proxy passes over: of names (`addressType: FQDN`), or with a label that asks for it.
    pub endpoints: Vec<SliceEndpoint>,
    /// A part of it could not be read: where its Service leads is not known.
    pub is_undecided: bool,
}

/// A port of all endpoints of a slice. One without a number is in no slice: nobody sends anything there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointPort {
    /// The name of the Service's port that it stands for.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first that is written. kube-proxy uses no other.
    pub address: IpAddr,
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
        let listed = self.numbers(port).flat_map(|port| self.endpoints.iter().map(move |endpoint| (port, endpoint)));
        listed.map(|(port, &SliceEndpoint { address, ready })| ServiceEnd { address, port, ready })
    }

    /// The numbers at which its endpoints listen for a port of its Service.
    pub fn numbers(&self, port: &ServicePort) -> impl Iterator<Item = u16> {
        let own = self.ports.iter().filter(move |it| it.name == port.name && it.protocol == port.protocol);
        own.map(|it| it.port)
    }
}

impl Service {
    #[must_use]
    pub fn selects(&self, pod: &Pod) -> bool {
        let has = |(key, value): (&CompactString, _)| pod.labels.get(key) == Some(value);
        !self.selector.is_empty() && pod.namespace == self.namespace && self.selector.iter().all(has)
    }

    /// Every address at which nodes rewrite what is sent to its ports, nodes' own not included.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let own = self.cluster_ips.iter().filter(|_| !self.is_passed_over).copied();
        own.chain(self.outside_addresses())
    }

    /// Those of them that are no ClusterIPs: whoever may write the Service chooses them.
    pub fn outside_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.external_ips.iter().chain(&self.load_balancer_ips).copied().filter(|ip| self.is_rewritten(ip.is_ipv4()))
    }

    /// True where nodes rewrite calls of a family: kube-proxy passes over a Service without a ClusterIP of the family
    /// (`serviceToServiceMap`), with all other addresses and node ports that it has.
    #[must_use]
    pub fn is_rewritten(&self, v4: bool) -> bool {
        !self.is_passed_over && self.cluster_ips.iter().any(|ip| ip.is_ipv4() == v4)
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
