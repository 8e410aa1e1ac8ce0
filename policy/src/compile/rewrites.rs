//! Addresses and ports that nodes rewrite, and where each of them leads: the rules of kube-proxy v1.34
//! (`k8s.io/kubernetes/pkg/proxy`) and of the CNI plugin `portmap`, read off a world.
//!
//! - A Service of a family in which it has no ClusterIP rewrites nothing in that family, nor does one that kube-proxy is
//!   asked to pass over.
//! - A ClusterIP at a port of its Service is that Service's alone. Whoever else claims it (externalIP, load balancer,
//!   hostPort) gets none of it.
//! - Other claims of one address and port: either may win, so all of their ends count.
//! - A hostPort is at the addresses of its pod's node, or at the one of them that it names.
//! - A traffic policy, affinity and readiness decide who picks which end: every end that is listed counts.
//! - A Service that is over its owner's share ([`Shares`]) leads to nobody knows whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::abi::{Address, PortKey, ServiceKey};

use super::Input;
use super::hash::HashMap;
use super::shares::Shares;
use crate::model::{EndpointSlice, HostPort, ObjectRef, Pod, Protocol, Service, ServicePort};

/// Everything that is called and leads elsewhere.
#[derive(Default)]
pub(super) struct Rewrites<'a> {
    pub(super) doors: Vec<Door<'a>>,
    pub(super) called: BTreeMap<ServiceKey, Called>,
    /// Addresses at which nobody can tell what any port leads to.
    pub(super) closed: BTreeSet<IpAddr>,
}

/// The doors at an address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    /// Indices into [`Rewrites::doors`], ascending.
    pub(super) doors: Vec<u32>,
    pub(super) claim: Claim,
}

/// The kind of right that a Service or a pod has to an address and port. A later one takes the place of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// Whoever may write a Service or a pod chooses the address.
    Chosen,
    /// At every node.
    NodePort,
    /// The API server gave it to the one Service.
    ClusterIp,
}

/// A port of a Service, or of a pod at its node, in one family.
pub(super) struct Door<'a> {
    pub(super) owner: Owner<'a>,
    pub(super) leads: Leads<'a>,
    pub(super) v4: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    Service(&'a Service),
    Pod(&'a Pod),
}

pub(super) enum Leads<'a> {
    /// A Service or a slice of it is not understood.
    Undecided,
    Listed(Vec<Listed<'a>>),
    /// A port of the pod.
    Pod(u16),
}

/// The endpoints of a slice, at a port.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) slice: &'a EndpointSlice,
    pub(super) port: u16,
    /// They were listed until a moment ago, and kube-proxy may not know yet.
    pub(super) is_departed: bool,
}

impl Owner<'_> {
    pub(super) fn name(&self) -> ObjectRef {
        match self {
            Self::Service(it) => ObjectRef::Service { namespace: it.namespace.clone(), name: it.name.clone() },
            Self::Pod(it) => ObjectRef::Pod { namespace: it.namespace.clone(), name: it.name.clone() },
        }
    }

    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Service(it) => &it.namespace,
            Self::Pod(it) => &it.namespace,
        }
    }

    /// True where nodes may pick an end that is not ready though others are.
    pub(super) const fn picks_any(&self) -> bool {
        matches!(self, Self::Service(Service { is_local: true, .. }))
    }
}

impl<'a> Rewrites<'a> {
    /// `may_be_node`: an address at which ports of all nodes are looked up.
    pub(super) fn of(
        input: &Input<'a>,
        with_host_ports: &[&'a Pod],
        shares: &Shares,
        may_be_node: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let mut rewrites = Self::default();
        let mut slices: HashMap<(&str, &str), Vec<(&EndpointSlice, bool)>> = HashMap::default();
        let departed = input.world.departed.values().map(|departed| (&departed.slice, true));
        for (slice, is_departed) in input.world.endpoint_slices.values().map(|slice| (slice, false)).chain(departed) {
            slices.entry((&slice.namespace, &slice.service)).or_default().push((slice, is_departed));
        }
        for service in input.world.services.values() {
            let own = slices.get(&(service.namespace.as_str(), service.name.as_str())).map_or(&[][..], Vec::as_slice);
            let is_lacking = shares.lacks_service(service);
            for (port, v4) in service.ports.iter().flat_map(|port| [(port, true), (port, false)]) {
                if is_lacking {
                    rewrites.close_port(service, port, v4, &may_be_node);
                } else {
                    rewrites.add_port(service, port, own, v4);
                }
            }
        }
        for pod in with_host_ports {
            if shares.lacks_pod(pod) {
                rewrites.close_pod(pod);
            } else {
                rewrites.add_pod(input, pod);
            }
        }
        rewrites
    }

    /// A port of a Service that has no room: as few entries as say so.
    fn close_port(&mut self, service: &'a Service, port: &ServicePort, v4: bool, may_be_node: impl Fn(IpAddr) -> bool) {
        if !service.is_rewritten(v4) {
            return;
        }
        let door = self.open(Door { owner: Owner::Service(service), leads: Leads::Undecided, v4 });
        let at_nodes = |number| ServiceKey::of_nodes(v4, PortKey::new(port.protocol.number(), number));
        if let Some(number) = port.node_port {
            self.claim(at_nodes(number), Claim::NodePort, door);
        }
        for address in service.outside_addresses().filter(|address| address.is_ipv4() == v4) {
            if may_be_node(address) {
                self.claim(at_nodes(port.port), Claim::NodePort, door);
            } else {
                self.closed.insert(address);
            }
        }
    }

    fn close_pod(&mut self, pod: &'a Pod) {
        for port in &pod.ports {
            let Some(host) = port.host_port else { continue };
            for v4 in [true, false] {
                let door = self.open(Door { owner: Owner::Pod(pod), leads: Leads::Undecided, v4 });
                let at_nodes = ServiceKey::of_nodes(v4, PortKey::new(port.protocol.number(), host.port));
                self.claim(at_nodes, Claim::NodePort, door);
            }
        }
    }

    fn add_port(&mut self, service: &'a Service, port: &ServicePort, slices: &[(&'a EndpointSlice, bool)], v4: bool) {
        if !service.is_rewritten(v4) {
            return;
        }
        let leads = if service.is_undecided || slices.iter().any(|(slice, _)| slice.is_undecided) {
            Leads::Undecided
        } else {
            let listed = slices.iter().flat_map(|&(slice, is_departed)| {
                slice.numbers(port).map(move |port| Listed { slice, port, is_departed })
            });
            Leads::Listed(listed.collect())
        };
        let door = self.open(Door { owner: Owner::Service(service), leads, v4 });
        let own = service.cluster_ips.iter().map(|ip| (*ip, Claim::ClusterIp));
        let chosen = service.outside_addresses().map(|ip| (ip, Claim::Chosen));
        for (address, claim) in own.chain(chosen).filter(|(address, _)| address.is_ipv4() == v4) {
            self.claim(key(address, port.protocol, port.port), claim, door);
        }
        if let Some(number) = port.node_port {
            let at_nodes = ServiceKey::of_nodes(v4, PortKey::new(port.protocol.number(), number));
            self.claim(at_nodes, Claim::NodePort, door);
        }
    }

    /// Ports of a pod at addresses of its node.
    fn add_pod(&mut self, input: &Input<'_>, pod: &'a Pod) {
        let node = node_addresses(input, pod);
        for port in &pod.ports {
            let Some(HostPort { port: number, address }) = port.host_port else { continue };
            for v4 in [true, false] {
                let at = node.iter().filter(|ip| ip.is_ipv4() == v4 && address.is_none_or(|named| named == **ip));
                let at: Vec<IpAddr> = at.copied().collect();
                if at.is_empty() || !pod.addresses.iter().any(|own| own.is_ipv4() == v4) {
                    continue;
                }
                let door = self.open(Door { owner: Owner::Pod(pod), leads: Leads::Pod(port.port), v4 });
                for address in at {
                    let key = key(address, port.protocol, number);
                    self.claim(key, Claim::Chosen, door);
                    // A node port there is as near: nobody knows whose rule is asked first.
                    if let Some(called) = self.called.get(&ServiceKey::of_nodes(v4, key.port)) {
                        let doors = called.doors.clone();
                        doors.into_iter().for_each(|door| self.claim(key, Claim::Chosen, door));
                    }
                }
            }
        }
    }

    fn open(&mut self, door: Door<'a>) -> u32 {
        self.doors.push(door);
        (self.doors.len() - 1) as u32
    }

    fn claim(&mut self, key: ServiceKey, claim: Claim, door: u32) {
        let called = self.called.entry(key).or_insert_with(|| Called { doors: Vec::new(), claim });
        if claim > called.claim {
            *called = Called { doors: vec![door], claim };
        } else if claim == called.claim
            && let Err(place) = called.doors.binary_search(&door)
        {
            called.doors.insert(place, door);
        }
    }
}

fn key(address: IpAddr, protocol: Protocol, port: u16) -> ServiceKey {
    ServiceKey { address: Address::from(address), port: PortKey::new(protocol.number(), port) }
}

fn node_addresses(input: &Input<'_>, pod: &Pod) -> BTreeSet<IpAddr> {
    let Input { world, node, .. } = input;
    let own = node.addresses.iter().filter(|_| !node.name.is_empty() && pod.node == node.name);
    let listed = world.nodes.get(&pod.node).map_or(&[][..], |node| &node.addresses);
    listed.iter().chain(own).copied().collect()
}
