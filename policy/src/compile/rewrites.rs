//! Addresses and ports that nodes rewrite, and where each of them leads: the rules of kube-proxy v1.34
//! (`k8s.io/kubernetes/pkg/proxy`) and of the CNI plugin `portmap`, read off a world.
//!
//! - A Service of a family in which it has no ClusterIP rewrites nothing in that family, nor does one that kube-proxy is
//!   asked to pass over.
//! - Whatever several claim, a ClusterIP, a pod's or a node's address too, any of them may win (kube-proxy writes their
//!   rules in no order): the ends of all count. A claim that no node follows takes nothing from anybody.
//! - An end that is called itself (a node port of another node, a pod's address that is claimed) is rewritten again by the
//!   node that it comes to: nobody can tell where that leads.
//! - A hostPort is at the addresses of its pod's node, or at the one of them that it names.
//! - A traffic policy, affinity and readiness decide who picks which end: every end that is listed counts.
//! - A Service that is over its owner's share ([`Shares`]) leads to nobody knows whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::abi::{Address, PeerKind, PortKey, ServiceKey};

use super::Input;
use super::hash::HashMap;
use super::shares::Shares;
use crate::model::{EndpointSlice, HostPort, ObjectRef, Pod, Protocol, Service, ServicePort};

/// Everything that is called and leads elsewhere.
#[derive(Default)]
pub(super) struct Rewrites<'a> {
    pub(super) doors: Vec<Door<'a>>,
    pub(super) called: BTreeMap<ServiceKey, Called>,
    /// Addresses at which nobody can tell what any port leads to; of pods, at which ports of all claimed ones count.
    pub(super) closed: BTreeSet<IpAddr>,
}

/// The doors at an address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    /// Indices into [`Rewrites::doors`], ascending.
    pub(super) doors: Vec<u32>,
    /// The best of the claims.
    pub(super) claim: Claim,
    /// The door of the worst of the claims: its owner pays for what several make of it.
    pub(super) payer: u32,
    pub(super) worst: Claim,
}

/// The kind of right that a Service or a pod has to an address and port, the best one last.
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
    /// `kind_of`: what an address is.
    pub(super) fn of(
        input: &Input<'a>,
        with_host_ports: &[&'a Pod],
        shares: &Shares,
        kind_of: impl Fn(IpAddr) -> PeerKind,
    ) -> Self {
        let mut rewrites = Self::default();
        let mut slices: HashMap<(&str, &str), Vec<(&EndpointSlice, bool)>> = HashMap::default();
        let departed = input.world.departed.slices.values().map(|departed| (&departed.object, true));
        for (slice, is_departed) in input.world.endpoint_slices.values().map(|slice| (slice, false)).chain(departed) {
            slices.entry((&slice.namespace, &slice.service)).or_default().push((slice, is_departed));
        }
        let departed = input.world.departed.services.values().map(|departed| (&departed.object, true));
        let services = input.world.services.values().map(|service| (service, false)).chain(departed);
        let (lacking, others): (Vec<_>, Vec<_>) = services.partition(|(service, _)| shares.lacks_service(service));
        let ports = |service: &'a Service| service.ports.iter().flat_map(|port| [(port, true), (port, false)]);
        for (service, is_departed) in others {
            let own = slices.get(&(service.namespace.as_str(), service.name.as_str())).map_or(&[][..], Vec::as_slice);
            ports(service).for_each(|(port, v4)| rewrites.add_port((service, is_departed), port, own, v4));
        }
        for pod in with_host_ports {
            if shares.lacks_pod(pod) {
                rewrites.close_pod(pod);
            } else {
                rewrites.add_pod(input, pod);
            }
        }
        for (service, _) in lacking {
            ports(service).for_each(|(port, v4)| rewrites.close_port(service, port, v4, &kind_of));
        }
        rewrites.add_node_ports(&kind_of);
        rewrites
    }

    /// Where an address that may be a node's is claimed, a node port there is as near: nobody knows whose rule is asked
    /// first, and until a node follows the claim there is no other.
    fn add_node_ports(&mut self, kind_of: impl Fn(IpAddr) -> PeerKind) {
        let claimed = self.called.iter().filter(|(_, called)| called.claim == Claim::Chosen);
        let found: Vec<(ServiceKey, Vec<u32>)> = claimed
            .filter(|(key, _)| !key.is_of_any())
            .filter_map(|(key, _)| {
                let of_nodes = self.called.get(&ServiceKey::of_nodes(key.address.is_v4(), key.port))?;
                may_be_node(kind_of(key.address.into())).then(|| (*key, of_nodes.doors.clone()))
            })
            .collect();
        for (key, doors) in found {
            doors.into_iter().for_each(|door| self.claim(key, Claim::Chosen, door));
        }
    }

    /// True where a node that a packet comes to may rewrite it, whatever another has made of it.
    pub(super) fn is_called(&self, address: IpAddr, kind: PeerKind, port: PortKey) -> bool {
        self.called.contains_key(&ServiceKey { address: address.into(), port })
            || may_be_node(kind) && self.called.contains_key(&ServiceKey::of_nodes(address.is_ipv4(), port))
            || self.closed.contains(&address)
    }

    /// A port of a Service that has no room: as few entries as say so. All others are there.
    fn close_port(&mut self, service: &'a Service, port: &ServicePort, v4: bool, kind_of: impl Fn(IpAddr) -> PeerKind) {
        if !service.is_rewritten(v4) {
            return;
        }
        let door = self.open(Door { owner: Owner::Service(service), leads: Leads::Undecided, v4 });
        let key = |number| PortKey::new(port.protocol.number(), number);
        if let Some(number) = port.node_port {
            self.claim(ServiceKey::of_nodes(v4, key(number)), Claim::NodePort, door);
        }
        for address in service.outside_addresses().filter(|address| address.is_ipv4() == v4 && is_called(*address)) {
            let at = ServiceKey { address: address.into(), port: key(port.port) };
            if self.called.contains_key(&at) {
                self.claim(at, Claim::Chosen, door);
            }
            match kind_of(address) {
                PeerKind::OwnNode | PeerKind::OtherNode | PeerKind::UnknownPod => {
                    self.claim(ServiceKey::of_nodes(v4, key(port.port)), Claim::NodePort, door);
                    continue;
                }
                PeerKind::Pod | PeerKind::LocalPod => {
                    self.claim(ServiceKey::of_claimed_pods(v4, key(port.port)), Claim::Chosen, door);
                }
                PeerKind::External | PeerKind::Service => {}
            }
            self.closed.insert(address);
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

    /// What departed must be allowed by its address, too: nobody promises that a node still rewrites it.
    fn add_port(
        &mut self,
        (service, is_departed): (&'a Service, bool),
        port: &ServicePort,
        slices: &[(&'a EndpointSlice, bool)],
        v4: bool,
    ) {
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
        let given = if is_departed { Claim::Chosen } else { Claim::ClusterIp };
        let own = service.cluster_ips.iter().map(|ip| (*ip, given));
        let chosen = service.outside_addresses().map(|ip| (ip, Claim::Chosen));
        for (address, claim) in own.chain(chosen).filter(|(address, _)| address.is_ipv4() == v4 && is_called(*address))
        {
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
                let at: Vec<IpAddr> = at.copied().filter(|ip| is_called(*ip)).collect();
                if at.is_empty() || !pod.addresses.iter().any(|own| own.is_ipv4() == v4) {
                    continue;
                }
                let door = self.open(Door { owner: Owner::Pod(pod), leads: Leads::Pod(port.port), v4 });
                for address in at {
                    self.claim(key(address, port.protocol, number), Claim::Chosen, door);
                }
            }
        }
    }

    fn open(&mut self, door: Door<'a>) -> u32 {
        self.doors.push(door);
        (self.doors.len() - 1) as u32
    }

    fn claim(&mut self, key: ServiceKey, claim: Claim, door: u32) {
        let new = || Called { doors: Vec::new(), claim, worst: claim, payer: door };
        let called = self.called.entry(key).or_insert_with(new);
        if claim < called.worst {
            (called.worst, called.payer) = (claim, door);
        }
        called.claim = called.claim.max(claim);
        if let Err(place) = called.doors.binary_search(&door) {
            called.doors.insert(place, door);
        }
    }
}

/// True for an address at which ports of all nodes are looked up.
pub(super) const fn may_be_node(kind: PeerKind) -> bool {
    matches!(kind, PeerKind::OwnNode | PeerKind::OtherNode | PeerKind::UnknownPod)
}

/// No packet between hosts goes to an unspecified or a loopback address: as keys these stand for something else.
const fn is_called(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback()
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
