//! CIDR classes: the set of ipBlocks, `except` included, that hold an address.
//!
//! Where an egress rule names ports together with ipBlocks, only pods can match: the class of a pod's address
//! then tells the numbers behind these names apart too. The class of a node's address tells which selectors of
//! nodes match it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Input;
use super::hash::HashMap;
use super::identity::{Identities, NamedPorts};
use super::mentions::{Mentions, PortNames, UnknownPods};
use crate::model::{Block, Selector};

/// The partition of all addresses by the ipBlocks that hold them.
pub(super) struct Classes<'a> {
    pub(super) blocks: Vec<&'a Block>,
    /// Class 0 is in no block.
    pub(super) list: Vec<Class<'a>>,
    /// Ascending, so that a prefix comes after those that hold it.
    boundaries: Vec<Boundary>,
    /// By class, until classes of single pods and nodes are added: the class of addresses that are in the same blocks
    /// and belong to an unknown pod. Empty where no rule matches those.
    of_unknown_pods: Vec<usize>,
    /// How many blocks the classes name, each as often as it is in one.
    named: usize,
}

/// What the addresses of a class have in common.
#[derive(Debug, Default)]
pub(super) struct Class<'a> {
    /// Indices into [`Classes::blocks`], ascending.
    pub(super) blocks: Vec<usize>,
    pub(super) ports: NamedPorts<'a>,
    /// The selectors that match the node whose addresses these are.
    pub(super) nodes: Vec<&'a Selector>,
    /// True for addresses in a pod range that no known pod has. `blocks` are those of rules that match them.
    pub(super) unknown_pods: bool,
}

/// A prefix inside which, but for longer prefixes, all addresses have one class.
struct Boundary {
    net: IpNet,
    /// The first address of `net`: looking one up compares nothing else.
    first: IpAddr,
    parent: Option<usize>,
    class: usize,
}

impl<'a> Classes<'a> {
    /// # Errors
    /// The classes name more blocks than `most`, each as often as it is in one: so many, and counting.
    pub(super) fn new(blocks: &BTreeSet<&'a Block>, most: usize) -> Result<Self, usize> {
        let blocks: Vec<&Block> = blocks.iter().copied().collect();
        let mut entering: HashMap<IpNet, Vec<usize>> = HashMap::default();
        let mut leaving: HashMap<IpNet, Vec<usize>> = HashMap::default();
        for (index, block) in blocks.iter().enumerate() {
            // An `except` that holds the whole block leaves nothing of it.
            if block.except.iter().any(|except| except.contains(&block.cidr)) {
                continue;
            }
            entering.entry(block.cidr.trunc()).or_default().push(index);
            for except in &block.except {
                leaving.entry(except.trunc()).or_default().push(index);
            }
        }
        let nets: BTreeSet<IpNet> = entering.keys().chain(leaving.keys()).copied().collect();
        let boundaries = Vec::with_capacity(nets.len());
        let mut classes =
            Self { blocks, list: vec![Class::default()], boundaries, of_unknown_pods: Vec::new(), named: 0 };
        let mut interned = HashMap::from_iter([(Vec::new(), 0)]);
        let mut above: Vec<usize> = Vec::new();
        for net in nets {
            while above.last().is_some_and(|&last| !classes.boundaries[last].net.contains(&net)) {
                above.pop();
            }
            let parent = above.last().copied();
            let mut members =
                parent.map_or_else(Vec::new, |parent| classes.list[classes.boundaries[parent].class].blocks.clone());
            members.extend(entering.get(&net).into_iter().flatten());
            if let Some(left) = leaving.get(&net) {
                members.retain(|member| left.binary_search(member).is_err());
            }
            members.sort_unstable();
            classes.named += members.len();
            if classes.named > most {
                return Err(classes.named);
            }
            let class = *interned.entry(members).or_insert_with_key(|members| {
                classes.list.push(Class { blocks: members.clone(), ..Class::default() });
                classes.list.len() - 1
            });
            above.push(classes.boundaries.len());
            classes.boundaries.push(Boundary { net, first: net.network(), parent, class });
        }
        Ok(classes)
    }

    /// Gives addresses of unknown pods classes of their own, where a rule matches such. Only the blocks of those rules
    /// tell these classes apart, so that no other rule can match.
    pub(super) fn tell_unknown_pods_apart(&mut self, mentions: &Mentions<'a>) {
        let UnknownPods { blocks, every_pod } = &mentions.of_unknown_pods;
        if blocks.is_empty() && !every_pod {
            return;
        }
        let mut interned: HashMap<Vec<usize>, usize> = HashMap::default();
        for plain in 0..self.list.len() {
            let of_rules = self.list[plain].blocks.iter().copied().filter(|&block| blocks.contains(self.blocks[block]));
            let class = *interned.entry(of_rules.collect()).or_insert_with_key(|blocks| {
                self.list.push(Class { blocks: blocks.clone(), unknown_pods: true, ..Class::default() });
                self.list.len() - 1
            });
            self.of_unknown_pods.push(class);
        }
    }

    /// The class of an unknown pod's address that is in the blocks of this class.
    pub(super) fn of_unknown_pods(&self, plain: usize) -> usize {
        self.of_unknown_pods.get(plain).copied().unwrap_or(0)
    }

    /// The prefixes within a range of pods by which unknown pods' addresses have different classes; first the range.
    pub(super) fn unknown_pods_in(&self, range: IpNet) -> impl Iterator<Item = (IpNet, usize)> + '_ {
        let whole = self.boundaries.iter().rfind(|boundary| boundary.net.contains(&range));
        let whole = (range, self.of_unknown_pods(whole.map_or(0, |boundary| boundary.class)));
        let inner = self.boundaries.iter().filter_map(move |boundary| {
            let around = boundary.parent.map_or(0, |parent| self.boundaries[parent].class);
            let class = self.of_unknown_pods(boundary.class);
            let differs = class != self.of_unknown_pods(around);
            (range.contains(&boundary.net) && range != boundary.net && differs).then_some((boundary.net, class))
        });
        std::iter::once(whole).chain(inner)
    }

    /// How many blocks the classes of these blocks alone name, up to `most` and a little more.
    pub(super) fn named(blocks: &BTreeSet<&'a Block>, most: usize) -> usize {
        Self::new(blocks, most).map_or_else(|needed| needed, |classes| classes.named)
    }

    /// Gives addresses of pods classes that tell port names apart too, where a rule needs it.
    pub(super) fn tell_ports_apart(&mut self, identities: &mut Identities<'a>, mentions: &Mentions<'a>) {
        if mentions.block_port_names.is_empty() {
            return;
        }
        let told_apart: Vec<NamedPorts<'a>> =
            identities.port_sets.iter().map(|ports| restrict(ports, &mentions.block_port_names)).collect();
        let mut interned: HashMap<(usize, &NamedPorts<'a>), usize> = HashMap::default();
        for home in identities.homes.iter_mut().filter(|home| home.class != 0) {
            let ports = &told_apart[identities.list[identities.pods[home.pod].identity].ports];
            if ports.is_empty() {
                continue;
            }
            home.class = *interned.entry((home.class, ports)).or_insert_with_key(|(plain, _)| {
                let blocks = self.list[*plain].blocks.clone();
                self.list.push(Class { blocks, ports: ports.clone(), ..Class::default() });
                self.list.len() - 1
            });
        }
    }

    /// Those addresses of nodes whose class tells more than which blocks hold them.
    pub(super) fn nodes(&mut self, input: &Input<'_>, mentions: &Mentions<'a>) -> HashMap<IpAddr, usize> {
        let mut interned: HashMap<(usize, Vec<&'a Selector>), usize> = HashMap::default();
        let mut classes = HashMap::default();
        for node in input.world.nodes.values() {
            let matching: Vec<&Selector> =
                mentions.nodes.iter().copied().filter(|selector| selector.matches(&node.labels)).collect();
            if matching.is_empty() {
                continue;
            }
            let own = input.node.addresses.iter().filter(|_| node.name == input.node.name);
            for &address in node.addresses.iter().chain(own) {
                let plain = self.of(address);
                let class = *interned.entry((plain, matching.clone())).or_insert_with(|| {
                    let blocks = self.list[plain].blocks.clone();
                    self.list.push(Class { blocks, nodes: matching.clone(), ..Class::default() });
                    self.list.len() - 1
                });
                classes.insert(address, class);
            }
        }
        classes
    }

    /// The class of an address that is no pod's and not in [`Classes::nodes`].
    pub(super) fn of(&self, address: IpAddr) -> usize {
        self.around(address, self.behind(address, 0))
    }

    /// How many boundaries begin at or before an address. It may be `last`, which is tried first: many pods have
    /// addresses between the same two.
    pub(super) fn behind(&self, address: IpAddr, last: usize) -> usize {
        let is_behind = |boundary: &Boundary| boundary.first <= address;
        let (before, after) = self.boundaries.split_at(last);
        let is_last = before.last().is_none_or(is_behind) && !after.first().is_some_and(is_behind);
        if is_last { last } else { self.boundaries.partition_point(is_behind) }
    }

    /// The class of an address, not less than so many boundaries.
    pub(super) fn around(&self, address: IpAddr, behind: usize) -> usize {
        let mut at = behind.checked_sub(1);
        while let Some(index) = at {
            if self.boundaries[index].net.contains(&address) {
                return self.boundaries[index].class;
            }
            at = self.boundaries[index].parent;
        }
        0
    }

    /// The prefixes to look addresses up by longest match, without those that say the same as the next
    /// shorter one.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = (IpNet, usize)> + '_ {
        self.boundaries.iter().filter_map(|boundary| {
            let around = boundary.parent.map_or(0, |parent| self.boundaries[parent].class);
            (boundary.class != around).then_some((boundary.net, boundary.class))
        })
    }
}

fn restrict<'a>(ports: &NamedPorts<'a>, names: &PortNames<'a>) -> NamedPorts<'a> {
    ports.iter().filter(|(protocol, name, _)| names.contains(&(*protocol, *name))).copied().collect()
}
