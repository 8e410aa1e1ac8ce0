//! CIDR classes: the set of ipBlocks, `except` included, that hold an address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Block;

/// The partition of all addresses by the ipBlocks that hold them.
pub(super) struct Classes<'a> {
    pub(super) blocks: Vec<&'a Block>,
    /// By class: indices into `blocks`, ascending. Class 0 is in none.
    pub(super) members: Vec<Vec<usize>>,
    /// Ascending, so that a prefix comes after those that hold it.
    boundaries: Vec<Boundary>,
}

/// A prefix inside which, but for longer prefixes, all addresses have one class.
struct Boundary {
    net: IpNet,
    parent: Option<usize>,
    class: usize,
}

impl<'a> Classes<'a> {
    pub(super) fn new(blocks: &BTreeSet<&'a Block>) -> Self {
        let blocks: Vec<&Block> = blocks.iter().copied().collect();
        let mut entering: HashMap<IpNet, Vec<usize>> = HashMap::new();
        let mut leaving: HashMap<IpNet, Vec<usize>> = HashMap::new();
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
        let mut classes = Self { blocks, members: vec![Vec::new()], boundaries: Vec::with_capacity(nets.len()) };
        let mut interned = HashMap::from([(Vec::new(), 0)]);
        let mut above: Vec<usize> = Vec::new();
        for net in nets {
            while above.last().is_some_and(|&last| !classes.boundaries[last].net.contains(&net)) {
                above.pop();
            }
            let parent = above.last().copied();
            let mut members =
                parent.map_or_else(Vec::new, |parent| classes.members[classes.boundaries[parent].class].clone());
            members.extend(entering.get(&net).into_iter().flatten());
            if let Some(left) = leaving.get(&net) {
                members.retain(|member| !left.contains(member));
            }
            members.sort_unstable();
            let class = *interned.entry(members).or_insert_with_key(|members| {
                classes.members.push(members.clone());
                classes.members.len() - 1
            });
            above.push(classes.boundaries.len());
            classes.boundaries.push(Boundary { net, parent, class });
        }
        classes
    }

    /// The class of an address.
    pub(super) fn of(&self, address: IpAddr) -> usize {
        let behind = self.boundaries.partition_point(|boundary| boundary.net.network() <= address);
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
