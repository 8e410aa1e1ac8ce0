//! Endpoints: records that are written once but for two things, the word of their profile and whether they
//! are pending.

use std::collections::{BTreeMap, BTreeSet};

use common::abi::{DirectionRules, Endpoint, Interface};

use super::between::Between;
use super::{changed, removed};
use crate::compile::{Desired, Id, Kind, Tables};
use crate::plan::{Observed, Op, PlanError};

pub(super) fn check(old: &Tables, new: &Tables) -> Result<(), PlanError> {
    for (slot, before, after) in kept(old, new) {
        if with(before, after.profile, after.flags) != *after {
            return Err(PlanError::Rebound { slot });
        }
    }
    Ok(())
}

/// Interfaces and addresses that go, and interfaces whose slot changes hands, with the wait that this takes.
pub(super) fn departures(old: &Tables, new: &Tables) -> Vec<Op> {
    let taken = taken_over(old, new);
    let leads_to_taken = |interface: &Interface| !interface.is_bridge() && taken.contains(&interface.slot());
    let gone = old
        .interfaces
        .iter()
        .filter(|(ifindex, interface)| !new.interfaces.contains_key(ifindex) || leads_to_taken(interface));
    let mut ops: Vec<Op> = gone.map(|(&ifindex, _)| Op::RemoveInterface { ifindex }).collect();
    ops.extend(removed(&old.locals, &new.locals, |&address| Op::RemoveLocal { address }));
    if !taken.is_empty() {
        ops.push(Op::Grace);
    }
    ops
}

/// New endpoints, each record before the addresses that lead to it, and those before the interface: what its pod sends
/// passes no veth undecided before it is known whose it is.
pub(super) fn arrivals(old: &Tables, new: &Tables) -> Vec<Op> {
    let taken = taken_over(old, new);
    let is_new = |slot: &u32| !old.endpoints.contains_key(slot) || taken.contains(slot);
    let records = new.endpoints.iter().filter(|(slot, _)| is_new(slot));
    let mut ops: Vec<Op> = records.map(|(&slot, &endpoint)| Op::SetEndpoint { slot, endpoint }).collect();
    ops.extend(changed(&old.locals, &new.locals, |&address, &slot| Op::SetLocal { address, slot }));
    let removed_first = |interface: &Interface| !interface.is_bridge() && taken.contains(&interface.slot());
    let kept = old.interfaces.iter().filter(|(_, interface)| !removed_first(interface));
    let kept = kept.map(|(&ifindex, &interface)| (ifindex, interface)).collect();
    ops.extend(changed(&kept, &new.interfaces, |&ifindex, &interface| Op::SetInterface { ifindex, interface }));
    ops
}

/// Endpoints that have to be pending while addresses change: those that will be, which deny nobody of what others turn
/// into; and those whose set is one that nobody made complete for the new words, since where it denies somebody a row
/// that is not there would let him through. Only a restart into a world that has changed meanwhile comes to the second: it
/// does not know the rules of the sets that it finds. And those whose old rules would open to others' new words what
/// neither world does ([`Between`]). Where the own node's word changes too, these last two are held from it as well.
pub(super) fn held(observed: &Observed, desired: &Desired) -> BTreeMap<u32, Endpoint> {
    let is_complete = |rules: &DirectionRules| {
        let id = Id { kind: Kind::Set, number: rules.set };
        rules.set == 0 || desired.ids.0.contains_key(&id)
    };
    let stays_judged = |slot| observed.tables.profile_of(slot).is_some_and(|it| it.rules.iter().all(is_complete));
    let mut between = Between::new(&observed.tables, &desired.tables);
    let from_everybody = Endpoint::PENDING | if between.is_about_own_node() { Endpoint::HELD } else { 0 };
    let held = kept(&observed.tables, &desired.tables).map(|(slot, before, after)| {
        let must_wait = !stays_judged(slot) || between.opens(slot);
        let flags = if must_wait { from_everybody } else { after.flags & Endpoint::PENDING };
        (slot, before, before.flags | flags)
    });
    let held = held.filter(|(_, before, flags)| before.flags != *flags);
    held.map(|(slot, before, flags)| (slot, with(before, before.profile, flags))).collect()
}

/// Changes of endpoints that stay, those in `held` from what they are there.
pub(super) fn publications(old: &Tables, new: &Tables, held: &BTreeMap<u32, Endpoint>) -> Vec<Op> {
    let mut ops = Vec::new();
    for (slot, before, after) in kept(old, new) {
        let before = held.get(&slot).unwrap_or(before);
        let becomes_pending = after.is(Endpoint::PENDING) && !before.is(Endpoint::PENDING);
        // One word at a time, and never a record that is neither pending nor restricted.
        let between = if becomes_pending {
            with(before, before.profile, after.flags)
        } else {
            with(before, after.profile, before.flags)
        };
        for (from, to) in [(*before, between), (between, *after)] {
            if from.flags != to.flags {
                ops.push(Op::SetEndpoint { slot, endpoint: to });
            } else if from.profile != to.profile {
                ops.push(Op::Publish { slot, endpoint: to });
            }
        }
    }
    ops
}

/// Endpoints that are in both, by slot: before and after.
fn kept<'a>(old: &'a Tables, new: &'a Tables) -> impl Iterator<Item = (u32, &'a Endpoint, &'a Endpoint)> {
    new.endpoints.iter().filter_map(|(slot, after)| {
        let before = old.endpoints.get(slot).filter(|before| before.id == after.id)?;
        Some((*slot, before, after))
    })
}

/// Slots whose record is another endpoint's.
fn taken_over(old: &Tables, new: &Tables) -> BTreeSet<u32> {
    let slots =
        new.endpoints.iter().filter(|(slot, after)| old.endpoints.get(slot).is_some_and(|it| it.id != after.id));
    slots.map(|(&slot, _)| slot).collect()
}

const fn with(endpoint: &Endpoint, profile: u64, flags: u64) -> Endpoint {
    Endpoint { profile, flags, ..*endpoint }
}
