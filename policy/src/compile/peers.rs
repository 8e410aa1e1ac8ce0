//! Addresses to peers: pods, nodes, and the ranges that hold everything else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::abi::{Address, Peer, PeerKind, TenantId};
use ipnet::IpNet;

use super::class::Classes;
use super::hash::{HashMap, HashSet};
use super::identity::Identities;
use super::rows::Numbers;
use super::{Input, services};
use crate::model::PodKey;

/// Gives every address its word.
pub(super) struct Peers<'a> {
    pub(super) input: Input<'a>,
    pub(super) identities: &'a Identities<'a>,
    /// By pod.
    pub(super) closed: &'a [bool],
    pub(super) classes: &'a Classes<'a>,
    /// Classes of nodes' addresses that only they have.
    pub(super) nodes: &'a HashMap<IpAddr, usize>,
    pub(super) numbers: &'a Numbers,
    pub(super) tenant_numbers: &'a [TenantId],
}

impl Peers<'_> {
    /// A pod's address wins over a node's, the own node's over another's.
    pub(super) fn addresses(&self) -> BTreeMap<Address, Peer> {
        let mut peers: Vec<(Address, Peer)> = Vec::new();
        let node =
            |kind| move |ip: &IpAddr| (Address::from(*ip), Peer::new(kind, 0, self.class(*ip), TenantId::PLATFORM));
        let world = self.input.world;
        for (name, other) in &world.nodes {
            if *name != self.input.node.name {
                peers.extend(other.addresses.iter().map(node(PeerKind::OtherNode)));
            }
        }
        let own = world.nodes.get(&self.input.node.name);
        peers.extend(own.iter().flat_map(|own| &own.addresses).map(node(PeerKind::OwnNode)));
        peers.extend(self.input.node.addresses.iter().map(node(PeerKind::OwnNode)));
        let strangers = self.identities.strangers.iter().flat_map(|pod| &pod.addresses);
        peers.extend(strangers.map(|ip| (Address::from(*ip), self.unknown_pod(self.classes.of(*ip)))));
        self.add_pods(&mut peers);
        peers.into_iter().collect()
    }

    /// An address that two pods claim is neither's, unless a veth of this node is bound to one of them.
    fn add_pods(&self, peers: &mut Vec<(Address, Peer)>) {
        let mut bound: HashMap<IpAddr, Vec<&PodKey>> = HashMap::default();
        for binding in &self.input.node.endpoints {
            let Some(pod) = &binding.pod else { continue };
            binding.addresses.iter().for_each(|ip| bound.entry(*ip).or_default().push(pod));
        }
        let strangers: HashSet<Address> =
            self.identities.strangers.iter().flat_map(|pod| &pod.addresses).map(|ip| Address::from(*ip)).collect();
        let mut proved = Vec::new();
        let mut claims = Vec::with_capacity(self.identities.homes.len());
        for home in &self.identities.homes {
            let known = &self.identities.pods[home.pod];
            let address = Address::from(home.address);
            let identity = self.numbers.identities[known.identity];
            let tenant = known.membership.tenant.map_or(TenantId::PLATFORM, |tenant| self.tenant_numbers[tenant]);
            let peer = Peer::new(PeerKind::Pod, identity, self.numbers.classes[home.class], tenant);
            let peer = if self.closed[home.pod] { peer.closed() } else { peer };
            let is_this = |pod: &&PodKey| pod.namespace == known.pod.namespace && pod.name == known.pod.name;
            if bound.get(&home.address).is_some_and(|pods| pods.iter().any(is_this)) {
                proved.push((address, peer.with_kind(PeerKind::LocalPod)));
            }
            claims.push((address, peer));
        }
        claims.sort_unstable_by_key(|(address, _)| *address);
        for of_address in claims.chunk_by_mut(|a, b| a.0 == b.0) {
            let address = of_address[0].0;
            if of_address.len() > 1 || strangers.contains(&address) {
                let unknown = self.unknown_pod(self.classes.of(IpAddr::from(address)));
                of_address.iter_mut().for_each(|(_, peer)| *peer = unknown);
            }
        }
        peers.append(&mut claims);
        peers.append(&mut proved);
    }

    /// Longest-match prefixes. Inside a range of Services no class has one: an address there that no Service has is in
    /// no ipBlock. Inside a range of pods only the classes of unknown pods have.
    pub(super) fn ranges(&self) -> BTreeMap<IpNet, Peer> {
        let services = IpNet::aggregate(&services::ranges(&self.input));
        let pods = IpNet::aggregate(&self.input.world.pod_ranges(self.input.config));
        let is_in = |ranges: &[IpNet], net: &IpNet| ranges.iter().any(|range| range.contains(net));
        let external = |class: usize| Peer::new(PeerKind::External, 0, self.numbers.classes[class], TenantId::PLATFORM);
        let outside = self.classes.prefixes().filter(|(net, _)| !is_in(&services, net) && !is_in(&pods, net));
        let mut ranges: BTreeMap<IpNet, Peer> = outside.map(|(net, class)| (net, external(class))).collect();
        ranges.extend(services.iter().map(|&range| (range, Peer::SERVICE)));
        // Of an address that both claim it is the pods'.
        for &range in &pods {
            let within = self.classes.unknown_pods_in(range).filter(|(net, _)| *net == range || !is_in(&services, net));
            ranges.extend(within.map(|(net, class)| (net, self.unknown_pod_in(class))));
        }
        ranges
    }

    /// The word of an unknown pod's address, which is in the blocks of a class.
    fn unknown_pod(&self, plain: usize) -> Peer {
        self.unknown_pod_in(self.classes.of_unknown_pods(plain))
    }

    fn unknown_pod_in(&self, class: usize) -> Peer {
        Peer::new(PeerKind::UnknownPod, 0, self.numbers.classes[class], TenantId::PLATFORM)
    }

    fn class(&self, address: IpAddr) -> u32 {
        let class = self.nodes.get(&address).copied().unwrap_or_else(|| self.classes.of(address));
        self.numbers.classes[class]
    }
}
