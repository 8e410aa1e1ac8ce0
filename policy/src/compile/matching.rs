//! Which identities and classes each rule of a set matches, with every selector evaluated once for each
//! distinct set of labels.

use std::collections::HashMap;

use super::class::Classes;
use super::identity::Identities;
use super::set::{Peers, PolicySet, Scope, SetPeer};
use crate::model::{Labels, Selector};

/// Matches of peers, remembered across sets.
pub(super) struct Matching<'a> {
    identities: &'a Identities<'a>,
    labels: Vec<&'a Labels>,
    /// Identities of each namespace.
    in_namespace: HashMap<&'a str, Vec<usize>>,
    /// Classes of each block, by its index.
    of_block: Vec<Vec<usize>>,
    block_index: HashMap<&'a crate::model::Block, usize>,
    pods: HashMap<&'a Selector, Vec<bool>>,
    peers: HashMap<&'a SetPeer, Vec<usize>>,
}

/// Rules of a set that match a peer, in their order: (identity or class, rule).
pub(super) type Pairs = Vec<(usize, usize)>;

impl<'a> Matching<'a> {
    pub(super) fn new(identities: &'a Identities<'a>, classes: &Classes<'a>) -> Self {
        let mut in_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, identity) in identities.list.iter().enumerate() {
            in_namespace.entry(&identity.namespace.name).or_default().push(index);
        }
        let mut of_block = vec![Vec::new(); classes.blocks.len()];
        for (class, content) in classes.list.iter().enumerate() {
            content.blocks.iter().for_each(|&block| of_block[block].push(class));
        }
        Self {
            identities,
            labels: identities.label_sets().collect(),
            in_namespace,
            of_block,
            block_index: classes.blocks.iter().enumerate().map(|(index, block)| (*block, index)).collect(),
            pods: HashMap::new(),
            peers: HashMap::new(),
        }
    }

    /// Sorted pairs of the rules that name their peers: by identity, and by class.
    pub(super) fn pairs(&mut self, set: &'a PolicySet) -> (Pairs, Pairs) {
        let (mut identities, mut classes) = (Pairs::new(), Pairs::new());
        for (index, rule) in set.rules.iter().enumerate() {
            match &rule.peers {
                Peers::Any => {}
                Peers::AnyPod => identities.extend((0..self.identities.list.len()).map(|identity| (identity, index))),
                Peers::Listed(peers) => {
                    for peer in peers {
                        if let SetPeer::Block(block) = peer {
                            let block = self.block_index.get(block).map_or(&[][..], |&at| &self.of_block[at]);
                            classes.extend(block.iter().map(|&class| (class, index)));
                        } else {
                            identities.extend(self.matched(peer).iter().map(|&identity| (identity, index)));
                        }
                    }
                }
            }
        }
        for pairs in [&mut identities, &mut classes] {
            pairs.sort_unstable();
            pairs.dedup();
        }
        (identities, classes)
    }

    /// The identities that a peer selects.
    fn matched(&mut self, peer: &'a SetPeer) -> &[usize] {
        if !self.peers.contains_key(peer) {
            let matched = self.evaluate(peer);
            self.peers.insert(peer, matched);
        }
        self.peers.get(peer).map_or(&[], Vec::as_slice)
    }

    fn evaluate(&mut self, peer: &'a SetPeer) -> Vec<usize> {
        let SetPeer::Pods { namespaces, pods } = peer else { return Vec::new() };
        let labels = &self.labels;
        let selected = self.pods.entry(pods).or_insert_with(|| labels.iter().map(|it| pods.matches(it)).collect());
        let list = &self.identities.list;
        let is_selected = |identity: &usize| selected[list[*identity].labels];
        match namespaces {
            Scope::Named(name) => {
                let own = self.in_namespace.get(name.as_str()).map_or(&[][..], Vec::as_slice);
                own.iter().copied().filter(is_selected).collect()
            }
            Scope::Selected(selector) => {
                let spaces = self.in_namespace.values().filter(|identities| {
                    identities.first().is_some_and(|&first| selector.matches(&list[first].namespace.labels))
                });
                spaces.flatten().copied().filter(is_selected).collect()
            }
        }
    }
}
