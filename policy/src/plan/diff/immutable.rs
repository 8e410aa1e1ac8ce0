//! Records that are written once: one that something leads to is never overwritten with another.

use std::collections::{BTreeMap, HashSet};

use common::abi::{Profile, ProgramRef};

use crate::compile::{Desired, Id, Kind, Tables};
use crate::plan::sides::{Side, sides};
use crate::plan::{Observed, PlanError};

pub(super) fn check(observed: &Observed, desired: &Desired) -> Result<(), PlanError> {
    let (old, new) = (&observed.tables, &desired.tables);
    let corrupt = |kind, number| Err(PlanError::Corrupt { id: Id { kind, number } });
    let read: Vec<(u32, &Profile)> = read_profiles(old);
    for (index, profile) in &read {
        if new.profiles.get(index).is_some_and(|other| other != *profile) {
            return corrupt(Kind::Profile, *index);
        }
    }
    let led_to: HashSet<u32> = old.services.values().map(|lead| lead.backends()).collect();
    for number in &led_to {
        let (was, is) = (old.backends.get(number), new.backends.get(number));
        if was.zip(is).is_some_and(|(was, is)| was != is) {
            return corrupt(Kind::Backends, *number);
        }
    }
    for (key, _) in overwritten(&old.delegates, &new.delegates) {
        if led_to.contains(&key.backends) {
            return corrupt(Kind::Backends, key.backends);
        }
    }
    let sets: HashSet<u32> = read.iter().flat_map(|(_, profile)| profile.rules.iter().map(|rules| rules.set)).collect();
    for (key, _) in overwritten(&old.rules, &new.rules) {
        if sets.contains(&key.set) {
            return corrupt(Kind::Set, key.set);
        }
    }
    let mut overwritten = overwritten(&old.ports, &new.ports).map(|(&row, _)| row).peekable();
    if overwritten.peek().is_some() {
        let programs = programs(old);
        for row in overwritten {
            if let Some(program) = holder(&programs, row) {
                return corrupt(Kind::Program, program.first());
            }
        }
    }
    Ok(())
}

/// Keys that have one value and are to have another.
fn overwritten<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Side<'a, V, V>)> {
    sides(old, new).filter(|(_, side)| matches!(side, Side::Both(before, after) if before != after))
}

/// The profiles that an endpoint names.
fn read_profiles(tables: &Tables) -> Vec<(u32, &Profile)> {
    let named = tables.endpoints.values().filter_map(|endpoint| u32::try_from(endpoint.profile).ok());
    named.filter_map(|index| Some((index, tables.profiles.get(&index)?))).collect()
}

/// The programs that a rule or a profile leads to, in the order of their rows.
fn programs(tables: &Tables) -> Vec<ProgramRef> {
    let none = tables.profiles.values().flat_map(|profile| profile.rules.iter().map(|rules| rules.none));
    let mut programs: Vec<ProgramRef> = tables.rules.values().copied().chain(none).collect();
    programs.sort_unstable_by_key(|program| program.first());
    programs.dedup();
    programs
}

fn holder(programs: &[ProgramRef], row: u32) -> Option<&ProgramRef> {
    let at_or_before = &programs[..programs.partition_point(|program| program.first() <= row)];
    at_or_before.iter().rev().find(|program| row - program.first() < program.rows())
}
