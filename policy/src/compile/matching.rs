//! Which identities and classes each rule of a set matches, with every selector evaluated once for each
//! distinct set of labels.

use std::ops::Range;

use super::class::Classes;
use super::hash::HashMap;
use super::identity::Identities;
use super::label_index::LabelIndex;
use super::set::{Peers, PolicySet, Scope, SetPeer};
use crate::model::{Block, Selector};

/// Matches of peers, remembered across sets.
pub(super) struct Matching<'a> {
    identities: &'a Identities<'a>,
    labels: LabelIndex<'a>,
    /// Identities with each set of labels.
    with_labels: Vec<Vec<usize>>,
    namespaces: LabelIndex<'a>,
    namespace_index: HashMap<&'a str, usize>,
    /// Identities of each namespace, which are neighbours.
    in_namespace: Vec<Range<usize>>,
    /// Classes of each block, by its index.
    of_block: Vec<Vec<usize>>,
    block_index: HashMap<&'a Block, usize>,
    /// Classes of each selector of nodes.
    of_nodes: HashMap<&'a Selector, Vec<usize>>,
    pods: HashMap<&'a Selector, Vec<usize>>,
    peers: HashMap<&'a SetPeer, Vec<usize>>,
    /// Labels that were looked at and matches that were found since somebody asked.
    work: usize,
}

/// Rules of a set that match a peer, in their order: (identity or class, rule).
pub(super) type Pairs = Vec<(usize, usize)>;

impl<'a> Matching<'a> {
    pub(super) fn new(identities: &'a Identities<'a>, classes: &Classes<'a>) -> Self {
        let mut with_labels = vec![Vec::new(); identities.label_sets().count()];
        for (index, identity) in identities.list.iter().enumerate() {
            with_labels[identity.labels].push(index);
        }
        let (mut namespaces, mut in_namespace, mut start) = (Vec::new(), Vec::new(), 0);
        for own in identities.list.chunk_by(|a, b| std::ptr::eq(a.namespace, b.namespace)) {
            namespaces.push(own[0].namespace);
            in_namespace.push(start..start + own.len());
            start += own.len();
        }
        let mut of_block = vec![Vec::new(); classes.blocks.len()];
        let mut of_nodes: HashMap<&Selector, Vec<usize>> = HashMap::default();
        for (class, content) in classes.list.iter().enumerate() {
            content.blocks.iter().for_each(|&block| of_block[block].push(class));
            content.nodes.iter().for_each(|&selector| of_nodes.entry(selector).or_default().push(class));
        }
        Self {
            identities,
            labels: LabelIndex::new(identities.label_sets().collect()),
            with_labels,
            namespace_index: (0..).zip(&namespaces).map(|(index, it)| (it.name.as_str(), index)).collect(),
            namespaces: LabelIndex::new(namespaces.into_iter().map(|it| &it.labels).collect()),
            in_namespace,
            of_block,
            block_index: classes.blocks.iter().enumerate().map(|(index, block)| (*block, index)).collect(),
            of_nodes,
            pods: HashMap::default(),
            peers: HashMap::default(),
            work: 0,
        }
    }

    /// Sorted pairs of the rules that name their peers: by identity, and by class; and the work that it took.
    ///
    /// # Errors
    /// More work than `most`: so much, and not done.
    pub(super) fn pairs(&mut self, set: &'a PolicySet, most: usize) -> Result<(Pairs, Pairs, usize), usize> {
        let (mut identities, mut classes) = (Pairs::new(), Pairs::new());
        self.work = 0;
        for (index, rule) in set.rules.iter().enumerate() {
            if self.work + identities.len() + classes.len() > most {
                return Err(self.work + identities.len() + classes.len());
            }
            match &rule.peers {
                Peers::Any => {}
                Peers::AnyPod => identities.extend((0..self.identities.list.len()).map(|identity| (identity, index))),
                Peers::Listed(peers) => {
                    for peer in peers {
                        let (pairs, matched) = match peer {
                            SetPeer::Pods { .. } => (&mut identities, self.matched(peer)),
                            SetPeer::Block(block) => (&mut classes, self.in_block(block)),
                            SetPeer::Nodes(selector) => (&mut classes, self.of_nodes(selector)),
                        };
                        pairs.extend(matched.iter().map(|&matched| (matched, index)));
                    }
                }
            }
        }
        for pairs in [&mut identities, &mut classes] {
            pairs.sort_unstable();
            pairs.dedup();
        }
        let work = self.work + identities.len() + classes.len();
        Ok((identities, classes, work))
    }

    fn in_block(&self, block: &Block) -> &[usize] {
        self.block_index.get(block).map_or(&[], |&at| &self.of_block[at])
    }

    fn of_nodes(&self, selector: &Selector) -> &[usize] {
        self.of_nodes.get(selector).map_or(&[], Vec::as_slice)
    }

    /// The identities that a peer selects.
    fn matched(&mut self, peer: &'a SetPeer) -> &[usize] {
        if !self.peers.contains_key(peer) {
            let matched = self.evaluate(peer);
            self.peers.insert(peer, matched);
        }
        self.peers.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Goes over the identities of the namespaces or over those with the labels, whichever are fewer.
    fn evaluate(&mut self, peer: &'a SetPeer) -> Vec<usize> {
        let SetPeer::Pods { namespaces, pods } = peer else { return Vec::new() };
        let namespaces = match namespaces {
            Scope::Named(name) => self.namespace_index.get(name.as_str()).copied().into_iter().collect(),
            Scope::Selected(selector) => {
                let (matched, looked_at) = self.namespaces.matched(selector);
                self.work += looked_at;
                matched
            }
        };
        let there: Vec<Range<usize>> = namespaces.iter().map(|&index| self.in_namespace[index].clone()).collect();
        let labels = self.pods.entry(pods).or_insert_with(|| {
            let (matched, looked_at) = self.labels.matched(pods);
            self.work += looked_at;
            matched
        });
        let with_labels = labels.iter().map(|&set| &self.with_labels[set]);
        let (in_namespaces, in_labels) = (there.iter().map(Range::len).sum(), with_labels.clone().map(Vec::len).sum());
        self.work += usize::min(in_namespaces, in_labels);
        if in_namespaces <= in_labels {
            let has_labels = |&identity: &usize| labels.binary_search(&self.identities.list[identity].labels).is_ok();
            there.into_iter().flatten().filter(has_labels).collect()
        } else {
            let is_there = |&identity: &usize| {
                let behind = there.partition_point(|range| range.start <= identity);
                behind > 0 && there[behind - 1].contains(&identity)
            };
            with_labels.flatten().copied().filter(is_there).collect()
        }
    }
}
