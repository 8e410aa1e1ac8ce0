//! From what the kernel holds to what it should hold: plain-data operations whose order alone makes each
//! update safe.
//!
//! Programs read the maps while they change, and any operation may be the last before a crash. At each point
//! an address is to an endpoint what it was before or what it is to be, and never anything else:
//!
//! 1. **Interfaces and local addresses that no endpoint has any more.** Their veths are gone. Where a slot changes hands, a grace
//!    period follows, so that nobody still reads the record that is about to be overwritten.
//! 2. **Ids.** From here on a restarted agent knows every number that the maps may hold.
//! 3. **Port rows, profiles, backends, delegates, rules.** New, immutable, and not yet reached by anything: rows stand in every
//!    live set before any address, or any backend of a Service, carries their identity or class.
//! 4. **Endpoints that will be pending, and those whose set nobody knows, become pending** if addresses are about to
//!    change: a restarted agent cannot make such a set complete for the new words. So do those whose old rules would let
//!    somebody through under his new word whom neither world lets through: they take nothing new until 8.
//! 5. **Addresses and Services, in an order in which each address and port changes once**, from what it was to what it
//!    is to be: a pod hides all Services at its address, a Service hides nodes and ranges, a longer prefix hides the
//!    shorter ones. What hides is set before what it hides and removed after it (`diff/addresses.rs`). Live sets have
//!    rows for the new words (3), so the old profiles judge them too.
//! 6. **Rows that no compile wrote** for a peer that some address carries are drift, and go before anything
//!    else rests on them.
//! 7. **New endpoints**: first the record, whose profile stands (3), then its addresses, then the interface.
//! 8. **Publication**: an endpoint's profile is one word. A record becomes pending before its profile turns
//!    into the one that restricts nothing, and stops being pending after it has its own.
//! 9. **The epoch**, last: a flow that is judged anew because of it meets nothing old. It is raised only
//!    where an address, a profile or a row that an earlier allow may rest on has changed.
//! 10. **After a grace period** what nothing leads to any more: records, rows, and the ids at the very end.

mod capacity;
mod diff;
mod op;
mod prepare;
mod sides;

use std::fmt;

pub use capacity::Capacities;
pub use diff::diff;
pub use op::Op;
pub use prepare::{PrepareError, prepare};

use crate::compile::{Id, Ids, Tables};

/// What the kernel holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub tables: Tables,
    pub epoch: u64,
    pub ids: Ids,
}

/// Operations, to be carried out in this order; the first that fails ends it, and the next plan starts from
/// what is then observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub ops: Vec<Op>,
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// What makes the change, and what is removed behind it after a grace period, because nothing leads to it any more.
    #[must_use]
    pub fn split(self) -> (Vec<Op>, Vec<Op>) {
        let mut change = self.ops;
        let last = change.iter().rposition(|op| *op == Op::Grace);
        match last {
            Some(grace) if change[grace + 1..].iter().all(|op| op.leftover().is_some()) => {
                let leftovers = change.split_off(grace + 1);
                change.truncate(grace);
                (change, leftovers)
            }
            _ => (change, Vec::new()),
        }
    }

    /// Carries the plan out on ordinary maps.
    pub fn apply_to(&self, observed: &mut Observed) {
        self.ops.iter().for_each(|op| op.apply_to(observed));
    }
}

/// An operation a line.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

/// Why nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// A map would have to hold more than it can, if only during the change.
    Full { map: &'static str, needed: usize, capacity: usize, setting: &'static str },
    /// Something in use is not what was written under its number. [`Ids::distrust`] and another compile give
    /// what it should be a new number.
    Corrupt { id: Id },
    /// A bound endpoint's record has another interface or address than its binding.
    Rebound { slot: u32 },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { map, needed, capacity, setting } => {
                write!(f, "the map of {map} needs {needed} entries for this change and has {capacity}: raise {setting}")
            }
            Self::Corrupt { id } => write!(
                f,
                "{} {} in the kernel's maps is in use and is not what was written there: it gets a new number",
                id.kind.name(),
                id.number
            ),
            Self::Rebound { slot } => {
                write!(f, "the endpoint in slot {slot} is bound to other addresses: recreate its pod")
            }
        }
    }
}

impl std::error::Error for PlanError {}
