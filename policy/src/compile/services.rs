//! Services to words: what each address and port leads to, as kinds of backends.
//!
//! Every endpoint that is listed counts, ready or not: whoever picks one does so at another moment. One that is not
//! ready and whose pod nobody knows is on its way out; where nothing else is listed, it counts too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::abi::{Address, Backends, Peer, PeerKind, PortKey, ServiceKey};
use ipnet::IpNet;

use super::hash::HashMap;
use super::identity::Identities;
use super::numbering::Numbering;
use super::{CompileError, Input, Tables};
use crate::model::{EndpointSlice, ObjectRef, Pod, Protocol, Service, ServiceEnd, ServicePort};

/// Who is called at an address and port: whose names, and where they lead.
#[derive(Default)]
struct Called {
    names: BTreeSet<ObjectRef>,
    ends: BTreeSet<ServiceEnd>,
}

/// By what is called, whose names it is.
pub(super) type Names = BTreeMap<ServiceKey, Vec<ObjectRef>>;

/// Fills the tables of Services. Those of addresses are filled.
pub(super) fn fill(
    input: &Input<'_>,
    identities: &Identities<'_>,
    numbering: &mut Numbering<'_>,
    tables: &mut Tables,
) -> Result<Names, CompileError> {
    let mut calls = Calls { input, called: BTreeMap::new() };
    calls.add_services();
    calls.add_host_ports(&identities.with_host_ports);
    let mut known: HashMap<Backends, u32> = HashMap::default();
    let mut names = Names::new();
    for (key, called) in calls.called {
        let backends = backends(tables, &called.ends);
        let number = match known.get(&backends) {
            Some(&number) => number,
            None => {
                let number = numbering.backends(&backends)?;
                tables.backends.extend((number != 0).then_some((number, backends)));
                known.insert(backends, number);
                number
            }
        };
        tables.services.insert(key, number);
        names.insert(key, called.names.into_iter().collect());
    }
    Ok(names)
}

/// Everything that is called, as it is found.
struct Calls<'a> {
    input: &'a Input<'a>,
    called: BTreeMap<ServiceKey, Called>,
}

impl Calls<'_> {
    fn add_services(&mut self) {
        let world = self.input.world;
        let mut slices: HashMap<(&str, &str), Vec<&EndpointSlice>> = HashMap::default();
        for slice in world.endpoint_slices.values() {
            slices.entry((&slice.namespace, &slice.service)).or_default().push(slice);
        }
        for service in world.services.values() {
            let own = slices.get(&(service.namespace.as_str(), service.name.as_str())).map_or(&[][..], Vec::as_slice);
            let name = ObjectRef::Service { namespace: service.namespace.clone(), name: service.name.clone() };
            for port in &service.ports {
                self.add_port(service, port, own, &name);
            }
        }
    }

    fn add_port(&mut self, service: &Service, port: &ServicePort, slices: &[&EndpointSlice], name: &ObjectRef) {
        for address in service.addresses() {
            let key = key(address, port.protocol, port.port);
            self.add(key, name, &ends(port, slices, address.is_ipv4()));
        }
        let Some(node_port) = port.node_port else { return };
        for address in &service.cluster_ips {
            let port_key = PortKey::new(port.protocol.number(), node_port);
            let key = ServiceKey::of_nodes(address.is_ipv4(), port_key);
            self.add(key, name, &ends(port, slices, address.is_ipv4()));
        }
    }

    /// Ports of pods at addresses of their nodes.
    fn add_host_ports(&mut self, pods: &[&Pod]) {
        for pod in pods {
            for port in &pod.ports {
                let Some(host) = port.host_port else { continue };
                let name = ObjectRef::Pod { namespace: pod.namespace.clone(), name: pod.name.clone() };
                let at: Vec<IpAddr> = host.address.map_or_else(|| self.node_addresses(pod), |address| vec![address]);
                for address in at {
                    let same_family = pod.addresses.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
                    let ends: Vec<ServiceEnd> =
                        same_family.map(|&address| ServiceEnd { address, port: port.port, ready: true }).collect();
                    if !ends.is_empty() {
                        self.add(key(address, port.protocol, host.port), &name, &ends);
                    }
                }
            }
        }
    }

    fn node_addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let Input { world, node, .. } = self.input;
        let own = node.addresses.iter().filter(|_| pod.node == node.name);
        let listed = world.nodes.get(&pod.node).map_or(&[][..], |node| &node.addresses);
        listed.iter().chain(own).copied().collect()
    }

    fn add(&mut self, key: ServiceKey, name: &ObjectRef, ends: &[ServiceEnd]) {
        let called = self.called.entry(key).or_default();
        called.names.insert(name.clone());
        called.ends.extend(ends);
    }
}

fn key(address: IpAddr, protocol: Protocol, port: u16) -> ServiceKey {
    ServiceKey { address: Address::from(address), port: PortKey::new(protocol.number(), port) }
}

/// The endpoints of a Service's port in one address family.
fn ends(port: &ServicePort, slices: &[&EndpointSlice], v4: bool) -> Vec<ServiceEnd> {
    slices.iter().flat_map(|slice| slice.ends(port)).filter(|end| end.address.is_ipv4() == v4).collect()
}

fn backends(tables: &Tables, ends: &BTreeSet<ServiceEnd>) -> Backends {
    let words = || ends.iter().map(|end| (end, word(tables, end.address)));
    let counts = |end: &ServiceEnd, peer: Peer| end.ready || peer.kind() != PeerKind::UnknownPod;
    let any_counts = words().any(|(end, peer)| counts(end, peer));
    let listed: Vec<(&ServiceEnd, Peer)> = words().filter(|(end, peer)| !any_counts || counts(end, *peer)).collect();
    let kinds: BTreeSet<(u64, u16)> = listed.iter().map(|(end, peer)| (peer.0, end.port)).collect();
    if kinds.len() > Backends::MOST {
        return Backends::UNKNOWN;
    }
    let mut backends = Backends { count: kinds.len() as u64, ..Backends::UNKNOWN };
    for ((peer, port), (word, number)) in backends.peers.iter_mut().zip(&mut backends.ports).zip(kinds) {
        (*peer, *port) = (Peer(word), number);
    }
    let addresses: BTreeSet<IpAddr> = listed.iter().map(|(end, _)| end.address).collect();
    if let (Some(&alone), 1) = (addresses.first(), addresses.len()) {
        backends.alone = Address::from(alone);
    }
    backends
}

/// A pod is the same behind a Service, on whatever node.
fn word(tables: &Tables, address: IpAddr) -> Peer {
    let peer = tables.peer_of(address);
    if peer.kind() == PeerKind::LocalPod { peer.with_kind(PeerKind::Pod) } else { peer }
}

/// The addresses that Services may have: configured, or as ServiceCIDR objects say, or what all ClusterIPs lie in.
pub(super) fn ranges(input: &Input<'_>) -> Vec<IpNet> {
    let Input { world, config, .. } = input;
    if !config.service_cidrs.is_empty() {
        return config.service_cidrs.iter().map(IpNet::trunc).collect();
    }
    let written: Vec<IpNet> = world.service_cidrs.values().flatten().copied().collect();
    if !written.is_empty() {
        return written;
    }
    let seen = || world.services.values().flat_map(|service| &service.cluster_ips).copied();
    [true, false].into_iter().filter_map(|v4| around(seen().filter(|address| address.is_ipv4() == v4))).collect()
}

/// The smallest range that holds all of these addresses of one family.
fn around(addresses: impl Iterator<Item = IpAddr>) -> Option<IpNet> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut differ = 0;
    let mut first: Option<IpAddr> = None;
    for address in addresses {
        differ |= bits(address) ^ bits(*first.get_or_insert(address));
    }
    let first = first?;
    let host_bits = u128::BITS - differ.leading_zeros();
    let length = if first.is_ipv4() { 32 } else { 128 };
    let prefix = u8::try_from(length - host_bits).ok()?;
    IpNet::new(first, prefix).ok().map(|range| range.trunc())
}
