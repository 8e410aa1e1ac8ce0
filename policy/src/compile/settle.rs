//! Who goes without rules where not all of them fit.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::budget::Resource;
use super::hash::{HashMap, HashSet};
use super::identity::Identities;
use super::meter::{Cost, Meter, Over, Payer, Stop};
use super::subjects::Sets;

/// What a compiled world takes without the sets of the compile before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) rules: usize,
    pub(super) ports: usize,
    pub(super) ids: usize,
}

impl Cost {
    const fn of(&self, resource: Resource) -> usize {
        match resource {
            Resource::Ports => self.ports,
            Resource::Rules | Resource::Ids => self.rules,
            Resource::Ranges
            | Resource::Work
            | Resource::Intervals
            | Resource::Services
            | Resource::Closed
            | Resource::Delegates => 0,
        }
    }
}

impl<'a> Meter<'a> {
    /// Whether all that was compiled fits; else who goes without rules: owner by owner, the one that takes most first,
    /// until the rest fits.
    pub(super) fn settle(
        &self,
        taken: &Taken,
        identities: &Identities<'_>,
        live: &Sets,
        current: &Sets,
    ) -> Result<(), Stop> {
        let fits = taken.rules <= self.budget.rules && taken.ports <= self.budget.ports && taken.ids <= self.budget.ids;
        if fits {
            return Ok(());
        }
        let told_apart = self.told_apart(identities, live, current);
        let first = self.by_owner(&told_apart, live.len());
        let whole = [(Resource::Rules, taken.rules), (Resource::Ports, taken.ports), (Resource::Ids, taken.ids)];
        for (of, needed) in whole {
            let mut excess = needed.saturating_sub(self.limit(of));
            let mut over = Vec::new();
            for &namespace in &first {
                // How many rows of everybody's go with the labels that it tells pods apart by, the next compile shows.
                let tells_apart =
                    self.owners.get(namespace).and_then(|owner| told_apart.get(owner)).is_some_and(|&it| it > 0);
                let freed = self.costs.get(namespace).map_or(0, |it| if tells_apart { usize::MAX } else { it.of(of) });
                if excess > 0 && freed > 0 {
                    excess = excess.saturating_sub(freed);
                    over.push(self.excess(namespace, of, needed));
                }
            }
            if !over.is_empty() {
                return Err(Stop::Over(Over::Namespaces(over)));
            }
        }
        Ok(())
    }

    /// By owner: identities that are told apart by labels that nobody else asks for. Whoever selects all pods pays a rule
    /// for each.
    fn told_apart(&self, identities: &Identities<'_>, live: &Sets, current: &Sets) -> HashMap<usize, usize> {
        let mut asking: HashMap<&str, BTreeSet<Option<usize>>> = HashMap::default();
        for (content, set) in live {
            let owner = match self.payer(content, set, current) {
                Payer::Namespace(name) => self.owners.get(name).copied(),
                Payer::Administrators | Payer::Previous => None,
            };
            for key in set.pod_keys() {
                asking.entry(key).or_default().insert(owner);
            }
        }
        let mut alone: HashMap<usize, HashSet<&str>> = HashMap::default();
        for (key, owners) in asking {
            if let (1, Some(Some(owner))) = (owners.len(), owners.first()) {
                alone.entry(*owner).or_default().insert(key);
            }
        }
        alone.into_iter().map(|(owner, keys)| (owner, identities.told_apart_by(&keys))).collect()
    }

    /// The namespaces of the owner that takes most first: a row for each set and identity that it tells apart, too.
    fn by_owner(&self, told_apart: &HashMap<usize, usize>, sets: usize) -> Vec<&'a str> {
        let mut of_owner: HashMap<Option<usize>, usize> = HashMap::default();
        of_owner.extend(told_apart.iter().map(|(&owner, &identities)| (Some(owner), identities * sets)));
        for (name, cost) in &self.costs {
            *of_owner.entry(self.owners.get(name).copied()).or_default() += cost.weight + cost.ports;
        }
        let mut names: Vec<&str> = self.costs.keys().copied().collect();
        names.sort_by_key(|name| {
            let owner = self.owners.get(name).copied();
            let own = self.costs.get(name).map_or(0, |cost| cost.weight + cost.ports);
            (Reverse(of_owner.get(&owner).copied()), owner, Reverse(own), *name)
        });
        names
    }
}
