//! Whether everything fits while a change is under way: what is held and what is to come.

use std::collections::BTreeMap;

use super::sides::sides;
use super::{Observed, PlanError};
use crate::compile::{Budget, Desired};

/// Entries that the maps can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Of each family.
    pub peers: usize,
    /// Of each family.
    pub ranges: usize,
    /// Keys of Services, groups of backends, and delegates.
    pub services: usize,
    pub rules: usize,
    pub ports: usize,
    pub profiles: usize,
    pub endpoints: usize,
    /// Interfaces that there is room for wherever their indices fall.
    pub interfaces: usize,
    pub ids: usize,
}

impl Capacities {
    /// What a compiled world may take, so that any change fits: a third. The rest is for what was there before, and for
    /// what its sets need meanwhile of the new world.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        Budget {
            rules: self.rules / 3,
            ports: self.ports / 3,
            ranges: self.ranges / 3,
            ids: self.ids / 3,
            services: self.services / 3,
            closed: if self.services < self.peers { self.services } else { self.peers } / 12,
            work: Budget::WORK,
        }
    }

    pub(super) fn check(&self, observed: &Observed, desired: &Desired) -> Result<(), PlanError> {
        let (old, new) = (&observed.tables, &desired.tables);
        for is_v4 in [true, false] {
            let peers = union(&old.peers, &new.peers, |address| address.is_v4() == is_v4);
            fits("addresses", peers, self.peers, "maps.peers")?;
            let ranges = union(&old.ranges, &new.ranges, |range| range.network().is_ipv4() == is_v4);
            fits("address ranges", ranges, self.ranges, "maps.ranges")?;
        }
        fits("services", union(&old.services, &new.services, |_| true), self.services, "maps.services")?;
        fits("groups of backends", end(&new.backends), self.services, "maps.services")?;
        fits("delegates", union(&old.delegates, &new.delegates, |_| true), self.services, "maps.services")?;
        fits("rules", union(&old.rules, &new.rules, |_| true), self.rules, "maps.rules")?;
        fits("ids", union(&observed.ids.0, &desired.ids.0, |_| true), self.ids, "maps.ids")?;
        fits("port rows", end(&new.ports), self.ports, "maps.ports")?;
        fits("profiles", end(&new.profiles), self.profiles, "maps.profiles")?;
        fits("endpoints", end(&new.endpoints), self.endpoints, "maps.endpoints")?;
        // Those that go are removed before any is added.
        fits("interfaces", new.interfaces.len(), self.interfaces, "maps.endpoints")
    }
}

fn fits(map: &'static str, needed: usize, capacity: usize, setting: &'static str) -> Result<(), PlanError> {
    if needed > capacity { Err(PlanError::Full { map, needed, capacity, setting }) } else { Ok(()) }
}

/// Keys of either map.
fn union<K: Ord, V, W>(old: &BTreeMap<K, V>, new: &BTreeMap<K, W>, counts: impl Fn(&K) -> bool) -> usize {
    sides(old, new).filter(|(key, _)| counts(key)).count()
}

/// Entries of an array that reaches to the last index.
fn end<V>(array: &BTreeMap<u32, V>) -> usize {
    array.last_key_value().map_or(0, |(&last, _)| last as usize + 1)
}
