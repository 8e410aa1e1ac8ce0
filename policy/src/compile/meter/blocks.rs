//! Address ranges: the owner whose policies name most goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Meter, Over, Payer, Stop};
use crate::compile::CompileError;
use crate::compile::budget::Resource;
use crate::compile::class::Classes;
use crate::compile::hash::HashMap;
use crate::compile::mentions::Mentions;
use crate::compile::subjects::Sets;
use crate::model::Block;

impl Meter<'_> {
    /// The classes of all blocks.
    pub(in crate::compile) fn classes<'s>(
        &self,
        mentions: &Mentions<'s>,
        live: &Sets,
        current: &Sets,
    ) -> Result<Classes<'s>, Stop> {
        let (of, needed) = match Classes::new(&mentions.blocks, self.budget.work) {
            Ok(classes) => {
                let prefixes = |v4: bool| classes.prefixes().filter(|(net, _)| net.network().is_ipv4() == v4).count();
                let needed = prefixes(true).max(prefixes(false));
                if needed <= self.budget.ranges {
                    return Ok(classes);
                }
                (Resource::Ranges, needed)
            }
            Err(needed) => (Resource::Work, needed),
        };
        let over = self.most_blocks(of, needed, live, current);
        if !over.is_empty() {
            let excess = |namespace| self.excess(namespace, of, needed);
            return Err(Stop::Over(Over::Namespaces(over.into_iter().map(excess).collect())));
        }
        if live.len() > current.len() {
            return Err(Stop::Over(Over::Previous));
        }
        // They are the administrators'.
        Classes::new(&mentions.blocks, usize::MAX).map_err(|_| {
            let remedy = "let fewer ipBlocks overlap";
            CompileError::Full { what: "blocks in CIDR classes", limit: u32::MAX, remedy }.into()
        })
    }

    /// Of the owner whose policies take most, the largest namespaces: as many as it takes, and no more at once than
    /// leave it where the next one is.
    fn most_blocks<'s>(&self, of: Resource, needed: usize, live: &'s Sets, current: &Sets) -> Vec<&'s str> {
        let mut named: HashMap<Option<usize>, Owned<'s>> = HashMap::default();
        for (content, set) in live {
            if let Payer::Namespace(namespace) = self.payer(content, set, current) {
                let owned = named.entry(self.owners.get(namespace).copied()).or_default();
                for block in set.blocks() {
                    owned.namespaces.entry(namespace).or_default().insert(block);
                    owned.blocks.insert(block);
                }
            }
        }
        let weigh = |(owner, owned): (Option<usize>, Owned<'s>)| {
            let weight = if of == Resource::Work {
                Classes::named(&owned.blocks, self.budget.work)
            } else {
                prefixes(&owned.blocks)
            };
            (weight, Reverse(owner), owned.namespaces)
        };
        let mut weighed: Vec<_> = named.into_iter().filter(|(_, owned)| !owned.blocks.is_empty()).map(weigh).collect();
        weighed.sort_unstable_by_key(|(weight, owner, _)| Reverse((*weight, *owner)));
        let next = weighed.get(1).map_or(0, |(weight, ..)| *weight);
        let Some((most, _, namespaces)) = weighed.into_iter().next() else { return Vec::new() };
        let mut largest: Vec<_> =
            namespaces.into_iter().map(|(name, blocks)| (Reverse(prefixes(&blocks)), name)).collect();
        largest.sort_unstable();
        let enough = if of == Resource::Work {
            // Work grows faster than what makes it: half of them at a time.
            largest.iter().take(largest.len().div_ceil(2)).map(|(prefixes, _)| prefixes.0).sum()
        } else {
            needed.saturating_sub(self.limit(of)).min((most - next).max(1))
        };
        let mut freed = 0;
        let over = largest.into_iter().take_while(|(Reverse(prefixes), _)| {
            let more = freed < enough;
            freed += prefixes;
            more
        });
        over.map(|(_, name)| name).collect()
    }
}

/// The blocks that an owner's policies name.
#[derive(Default)]
struct Owned<'s> {
    blocks: BTreeSet<&'s Block>,
    namespaces: BTreeMap<&'s str, BTreeSet<&'s Block>>,
}

fn prefixes(blocks: &BTreeSet<&Block>) -> usize {
    blocks.iter().map(|block| 1 + block.except.len()).sum()
}
