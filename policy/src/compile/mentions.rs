//! What the live sets mention: all that identities and CIDR classes have to tell apart.

use std::collections::BTreeSet;

use super::set::{Peers, PolicySet, Scope, SetPeer};
use crate::model::{Block, Port, Protocol};

#[derive(Debug, Default)]
pub(super) struct Mentions<'a> {
    /// Keys of pod labels.
    pub(super) pod_keys: BTreeSet<&'a str>,
    pub(super) namespace_keys: BTreeSet<&'a str>,
    /// Names of ports that are looked up on the peer.
    pub(super) port_names: BTreeSet<(Protocol, &'a str)>,
    pub(super) blocks: BTreeSet<&'a Block>,
}

impl<'a> Mentions<'a> {
    pub(super) fn of(sets: impl Iterator<Item = &'a PolicySet>) -> Self {
        let mut mentions = Self::default();
        for rule in sets.flat_map(|set| &set.rules) {
            for port in rule.ports.iter().flatten() {
                if let Port::Named(protocol, name) = port {
                    mentions.port_names.insert((*protocol, name));
                }
            }
            if let Peers::Listed(peers) = &rule.peers {
                peers.iter().for_each(|peer| mentions.add(peer));
            }
        }
        mentions
    }

    fn add(&mut self, peer: &'a SetPeer) {
        match peer {
            SetPeer::Block(block) => {
                self.blocks.insert(block);
            }
            SetPeer::Pods { namespaces, pods } => {
                self.pod_keys.extend(pods.keys());
                if let Scope::Selected(selector) = namespaces {
                    self.namespace_keys.extend(selector.keys());
                }
            }
        }
    }
}
