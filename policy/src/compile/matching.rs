//! Which identities and classes each rule of a set matches, with every selector evaluated once for each
//! distinct set of labels.

use std::ops::Range;

use super::class::Classes;
use super::hash::HashMap;
use super::identity::Identities;
use super::label_index::LabelIndex;
use super::namespaces::Namespaces;
use super::set::{Peers, PolicySet, Scope, SetPeer};
use crate::model::{Block, Selector};

/// Matches of peers, remembered across sets.
pub(super) struct Matching<'a> {
    identities: &'a Identities<'a>,
    labels: LabelIndex<'a>,
    /// Identities with each set of labels.
    with_labels: Vec<Vec<u32>>,
    namespaces: &'a Namespaces<'a>,
    /// Identities of each namespace of the world, which are neighbours.
    in_namespace: Vec<Range<u32>>,
    /// Classes of each block, by its index.
    of_block: Vec<Vec<u32>>,
    block_index: HashMap<&'a Block, usize>,
    /// The same for classes of unknown pods.
    unknown_pods_of_block: Vec<Vec<u32>>,
    /// Every class of unknown pods.
    unknown_pods: Vec<u32>,
    /// Classes of each selector of nodes.
    of_nodes: HashMap<&'a Selector, Vec<u32>>,
    /// Places of the namespaces that selectors match.
    in_selected: HashMap<&'a Selector, Vec<usize>>,
    pods: HashMap<&'a Selector, WithLabels>,
    /// By place, for the namespaces of one peer at a time.
    is_there: Vec<bool>,
    /// Indices of `matched`.
    peers: HashMap<&'a SetPeer, usize>,
    matched: Vec<Vec<u32>>,
    /// Labels that were looked at and matches that were found since somebody asked.
    work: usize,
}

/// Sets of labels, and how many identities have one of them.
struct WithLabels {
    sets: Vec<usize>,
    identities: usize,
}

/// Rules of a set that match a peer, in their order: (identity or class, rule).
pub(super) type Pairs = Vec<(u32, u32)>;

impl<'a> Matching<'a> {
    pub(super) fn new(identities: &'a Identities<'a>, namespaces: &'a Namespaces<'a>, classes: &Classes<'a>) -> Self {
        let mut with_labels = vec![Vec::new(); identities.label_sets().count()];
        for (index, identity) in (0..).zip(&identities.list) {
            with_labels[identity.labels].push(index);
        }
        let mut in_namespace = vec![0..0; namespaces.len()];
        for own in &identities.namespaces {
            in_namespace[own.place] = own.identities.start as u32..own.identities.end as u32;
        }
        let mut of_block = vec![Vec::new(); classes.blocks.len()];
        let mut unknown_pods_of_block = of_block.clone();
        let mut unknown_pods = Vec::new();
        let mut of_nodes: HashMap<&Selector, Vec<u32>> = HashMap::default();
        for (class, content) in (0..).zip(&classes.list) {
            let of_block = if content.unknown_pods { &mut unknown_pods_of_block } else { &mut of_block };
            content.blocks.iter().for_each(|&block| of_block[block].push(class));
            unknown_pods.extend(content.unknown_pods.then_some(class));
            content.nodes.iter().for_each(|&selector| of_nodes.entry(selector).or_default().push(class));
        }
        Self {
            identities,
            labels: LabelIndex::new(identities.label_sets().collect()),
            with_labels,
            namespaces,
            in_namespace,
            of_block,
            block_index: classes.blocks.iter().enumerate().map(|(index, block)| (*block, index)).collect(),
            unknown_pods_of_block,
            unknown_pods,
            of_nodes,
            in_selected: HashMap::default(),
            pods: HashMap::default(),
            is_there: vec![false; namespaces.len()],
            peers: HashMap::default(),
            matched: Vec::new(),
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
        for (index, rule) in (0..).zip(&set.rules) {
            if self.work + identities.len() + classes.len() > most {
                return Err(self.work + identities.len() + classes.len());
            }
            match &rule.peers {
                Peers::Any => {}
                Peers::AnyPod => {
                    identities.extend((0..).zip(&self.identities.list).map(|(identity, _)| (identity, index)));
                }
                Peers::Listed(peers) => {
                    for peer in peers {
                        let (pairs, matched) = match peer {
                            SetPeer::Pods { .. } => (&mut identities, self.matched(peer)),
                            SetPeer::Block(block) => (&mut classes, self.in_block(block)),
                            SetPeer::Nodes(selector) => (&mut classes, self.of_nodes(selector)),
                        };
                        pairs.extend(matched.iter().map(|&matched| (matched, index)));
                        if rule.matches_unknown_pods() {
                            classes.extend(self.unknown_pods(peer).iter().map(|&class| (class, index)));
                        }
                    }
                }
            }
        }
        for pairs in [&mut identities, &mut classes] {
            // Not unstable: what a peer matches is made of ascending runs, which the stable sort merges.
            pairs.sort();
            pairs.dedup();
        }
        let work = self.work + identities.len() + classes.len();
        Ok((identities, classes, work))
    }

    fn in_block(&self, block: &Block) -> &[u32] {
        self.block_index.get(block).map_or(&[], |&at| &self.of_block[at])
    }

    /// The classes of unknown pods that a peer holds.
    fn unknown_pods(&self, peer: &SetPeer) -> &[u32] {
        match peer {
            SetPeer::Block(block) => self.block_index.get(block).map_or(&[], |&at| &self.unknown_pods_of_block[at]),
            SetPeer::Pods { .. } if peer.is_every_pod() => &self.unknown_pods,
            SetPeer::Pods { .. } | SetPeer::Nodes(_) => &[],
        }
    }

    fn of_nodes(&self, selector: &Selector) -> &[u32] {
        self.of_nodes.get(selector).map_or(&[], Vec::as_slice)
    }

    /// The identities that a peer selects.
    fn matched(&mut self, peer: &'a SetPeer) -> &[u32] {
        let known = self.peers.get(peer).copied();
        let index = known.unwrap_or_else(|| {
            let matched = self.evaluate(peer);
            self.peers.insert(peer, self.matched.len());
            self.matched.push(matched);
            self.matched.len() - 1
        });
        &self.matched[index]
    }

    /// Goes over the identities of the namespaces or over those with the labels, whichever is less work.
    fn evaluate(&mut self, peer: &'a SetPeer) -> Vec<u32> {
        let SetPeer::Pods { namespaces, pods } = peer else { return Vec::new() };
        let own;
        let places: &[usize] = match namespaces {
            Scope::Named(name) => {
                own = self.namespaces.place(name);
                own.as_slice()
            }
            Scope::Selected(selector) => self.in_selected.entry(selector).or_insert_with(|| {
                let (matched, looked_at) = self.namespaces.matched(selector);
                self.work += looked_at;
                matched
            }),
        };
        let labels = self.pods.entry(pods).or_insert_with(|| {
            let (sets, looked_at) = self.labels.matched(pods);
            self.work += looked_at;
            let identities = sets.iter().map(|&set| self.with_labels[set].len()).sum();
            WithLabels { sets, identities }
        });
        let there = places.iter().map(|&place| self.in_namespace[place].clone());
        let in_namespaces = there.clone().map(|range| range.len()).sum();
        self.work += usize::min(in_namespaces, labels.identities);
        let identities = &self.identities;
        // A set is looked up among the others by halves, a namespace at once.
        let halves = labels.sets.len().checked_ilog2().unwrap_or_default() as usize;
        if in_namespaces.saturating_mul(1 + halves) <= labels.identities {
            let labels_of = |identity: u32| &identities.list[identity as usize].labels;
            let has_labels = |&identity: &u32| labels.sets.binary_search(labels_of(identity)).is_ok();
            return there.flatten().filter(has_labels).collect();
        }
        places.iter().for_each(|&place| self.is_there[place] = true);
        let place = |identity: u32| identities.namespaces[identities.list[identity as usize].namespace].place;
        let with_labels = labels.sets.iter().flat_map(|&set| &self.with_labels[set]).copied();
        let matched = with_labels.filter(|&identity| self.is_there[place(identity)]).collect();
        places.iter().for_each(|&place| self.is_there[place] = false);
        matched
    }
}
