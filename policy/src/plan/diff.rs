//! The difference between what the kernel holds and what it should hold, in the order of the module above.

mod addresses;
mod between;
mod endpoints;
mod immutable;
mod ranges;

use std::collections::{BTreeMap, HashSet};

use common::abi::{DirectionRules, RuleKey};

use super::sides::{Side, sides};
use super::{Capacities, Observed, Op, Plan, PlanError};
use crate::compile::{Desired, Tables};

/// The operations that lead from what is observed to what is desired: none where there is no difference.
///
/// # Errors
/// Where something does not fit or is not what it should be. Nothing is to be changed then.
pub fn diff(observed: &Observed, desired: &Desired, capacities: &Capacities) -> Result<Plan, PlanError> {
    immutable::check(observed, desired)?;
    endpoints::check(&observed.tables, &desired.tables)?;
    capacities.check(observed, desired)?;

    let (old, new) = (&observed.tables, &desired.tables);
    let departures = endpoints::departures(old, new);
    let stale: Vec<Op> = removed(&old.rules, &new.rules, |&key| Op::RemoveRule { key }).collect();
    let carried = if stale.is_empty() { Carried::default() } else { Carried::of(new) };
    let (drift, stale): (Vec<Op>, Vec<Op>) = stale.into_iter().partition(|op| carried.reads(op));
    let addresses = addresses::changes(old, new);
    let tunnels: Vec<Op> = changed(&old.tunnels, &new.tunnels, |&word, &ports| Op::SetTunnels { word, ports })
        .chain(removed(&old.tunnels, &new.tunnels, |&word| Op::SetTunnels { word, ports: 0 }))
        .collect();
    let held = if addresses.is_empty() { BTreeMap::new() } else { endpoints::held(observed, desired) };
    let publications = endpoints::publications(old, new, &held);
    let revokes = !(addresses.is_empty() && tunnels.is_empty() && drift.is_empty() && publications.is_empty());

    let mut ops = departures;
    ops.extend(tunnels);
    ops.extend(changed(&observed.ids.0, &desired.ids.0, |&id, &digest| Op::SetId { id, digest }));
    ops.extend(changed(&old.ports, &new.ports, |&row, &value| Op::SetPort { row, value }));
    ops.extend(changed(&old.profiles, &new.profiles, |&index, &profile| Op::SetProfile { index, profile }));
    ops.extend(changed(&old.backends, &new.backends, |&number, &backends| Op::SetBackends { number, backends }));
    ops.extend(changed(&old.delegates, &new.delegates, |&key, &backend| Op::SetDelegate { key, backend }));
    ops.extend(changed(&old.rules, &new.rules, |&key, &program| Op::SetRule { key, program }));
    ops.extend(held.iter().map(|(&slot, &endpoint)| Op::SetEndpoint { slot, endpoint }));
    ops.extend(addresses);
    ops.extend(drift);
    ops.extend(endpoints::arrivals(old, new));
    ops.extend(publications);
    if revokes {
        ops.push(Op::RaiseEpoch { epoch: observed.epoch + 1 });
    }
    let mut leftovers: Vec<Op> = removed(&old.endpoints, &new.endpoints, |&slot| Op::RemoveEndpoint { slot }).collect();
    leftovers.extend(stale);
    leftovers.extend(removed(&old.profiles, &new.profiles, |&index| Op::RemoveProfile { index }));
    leftovers.extend(removed(&old.delegates, &new.delegates, |&key| Op::RemoveDelegate { key }));
    leftovers.extend(removed(&old.backends, &new.backends, |&number| Op::RemoveBackends { number }));
    leftovers.extend(removed(&old.ports, &new.ports, |&row| Op::RemovePort { row }));
    leftovers.extend(removed(&observed.ids.0, &desired.ids.0, |&id| Op::RemoveId { id }));
    if !leftovers.is_empty() {
        ops.push(Op::Grace);
        ops.extend(leftovers);
    }
    Ok(Plan { ops })
}

/// Entries that are new or have another value.
fn changed<'a, K: Ord, V: PartialEq, T>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    op: impl Fn(&K, &V) -> T + 'a,
) -> impl Iterator<Item = T> + 'a {
    sides(old, new).filter_map(move |(key, side)| match side {
        Side::New(value) => Some(op(key, value)),
        Side::Both(before, after) if before != after => Some(op(key, after)),
        Side::Both(..) | Side::Old(_) => None,
    })
}

fn removed<'a, K: Ord, V: 'a, T>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    op: impl Fn(&K) -> T + 'a,
) -> impl Iterator<Item = T> + 'a {
    sides(old, new).filter(|(_, side)| matches!(side, Side::Old(_))).map(move |(key, _)| op(key))
}

/// The rows that packets can reach: of sets that a profile names, for peers that an address carries.
#[derive(Default)]
struct Carried {
    sets: HashSet<u32>,
    identities: HashSet<u32>,
    classes: HashSet<u32>,
}

impl Carried {
    fn of(tables: &Tables) -> Self {
        let kinds = || tables.backends.values().map(|backends| &backends.only).chain(tables.delegates.values());
        let words = || tables.peers.values().chain(tables.ranges.values()).chain(kinds().map(|kind| &kind.peer));
        let rules = tables.profiles.values().flat_map(|profile| &profile.rules);
        Self {
            sets: rules.map(|rules: &DirectionRules| rules.set).collect(),
            identities: words().map(|peer| peer.identity()).collect(),
            classes: words().map(|peer| peer.class()).collect(),
        }
    }

    fn reads(&self, op: &Op) -> bool {
        matches!(op, Op::RemoveRule { key } if self.reaches(key))
    }

    fn reaches(&self, key: &RuleKey) -> bool {
        self.sets.contains(&key.set)
            && match key.split() {
                Ok(identity) => self.identities.contains(&identity),
                Err(class) => self.classes.contains(&class),
            }
    }
}
