//! What the live sets mention: all that identities and CIDR classes have to tell apart.

use std::collections::BTreeSet;

use super::hash::{HashMap, HashSet};
use super::identity::NamedPorts;
use super::set::{Peers, PolicySet, Scope, SetPeer};
use crate::model::{Block, Pod, Port, Protocol, Selector};

/// Names of ports, each with its protocol.
pub(super) type PortNames<'a> = HashSet<(Protocol, &'a str)>;

#[derive(Debug, Default)]
pub(super) struct Mentions<'a> {
    /// Keys of labels of pods in any namespace.
    pub(super) pod_keys: HashSet<&'a str>,
    /// Those of pods in one namespace.
    pub(super) own_pod_keys: HashMap<&'a str, HashSet<&'a str>>,
    pub(super) namespace_keys: HashSet<&'a str>,
    /// Names of ports that are looked up on the peer.
    pub(super) port_names: PortNames<'a>,
    /// Those of rules that have ipBlocks too.
    pub(super) block_port_names: PortNames<'a>,
    pub(super) blocks: BTreeSet<&'a Block>,
    /// Peers of rules that match addresses of unknown pods, too.
    pub(super) of_unknown_pods: UnknownPods<'a>,
    /// Of nodes.
    pub(super) nodes: BTreeSet<&'a Selector>,
}

/// The peers by which rules match addresses of unknown pods ([`SetRule::matches_unknown_pods`]).
#[derive(Debug, Default)]
pub(super) struct UnknownPods<'a> {
    pub(super) blocks: BTreeSet<&'a Block>,
    /// A rule is about every pod of every namespace.
    pub(super) every_pod: bool,
}

impl<'a> Mentions<'a> {
    pub(super) fn of(sets: impl Iterator<Item = &'a PolicySet>) -> Self {
        let mut mentions = Self::default();
        for rule in sets.flat_map(|set| &set.rules) {
            let peers: &[SetPeer] = if let Peers::Listed(peers) = &rule.peers { peers } else { &[] };
            peers.iter().for_each(|peer| mentions.add(peer));
            if rule.matches_unknown_pods() {
                peers.iter().for_each(|peer| mentions.of_unknown_pods.add(peer));
            }
            let names = rule.ports.iter().flatten().filter_map(|port| match port {
                Port::Named(protocol, name) => Some((*protocol, name.as_str())),
                Port::All(_) | Port::Range(..) => None,
            });
            if peers.iter().any(|peer| matches!(peer, SetPeer::Block(_))) {
                mentions.block_port_names.extend(names.clone());
            }
            mentions.port_names.extend(names);
        }
        mentions
    }

    /// Adds the numbers of a pod's ports whose names are looked up on peers: ascending, each once.
    pub(super) fn ports_of<'p>(&self, pod: &'p Pod, named: &mut NamedPorts<'p>) {
        let own = pod.ports.iter().filter_map(|port| Some((port.protocol, port.name.as_deref()?, port.port)));
        named.extend(own.filter(|&(protocol, name, _)| self.port_names.contains(&(protocol, name))));
        named.sort_unstable();
        named.dedup();
    }

    fn add(&mut self, peer: &'a SetPeer) {
        match peer {
            SetPeer::Block(block) => {
                self.blocks.insert(block);
            }
            SetPeer::Nodes(selector) => {
                self.nodes.insert(selector);
            }
            SetPeer::Pods { namespaces, pods } => match namespaces {
                Scope::Named(name) => self.own_pod_keys.entry(name).or_default().extend(pods.keys()),
                Scope::Selected(selector) => {
                    self.namespace_keys.extend(selector.keys());
                    self.pod_keys.extend(pods.keys());
                }
            },
        }
    }
}

impl<'a> UnknownPods<'a> {
    fn add(&mut self, peer: &'a SetPeer) {
        self.every_pod |= peer.is_every_pod();
        if let SetPeer::Block(block) = peer {
            self.blocks.insert(block);
        }
    }
}
