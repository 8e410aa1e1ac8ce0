//! The maps as [`FlowShares`].

use core::cell::Cell;
use core::intrinsics::{AtomicOrdering, atomic_xadd};

use common::abi::{Counter, FlowKey, FlowLimits, FlowPlace, FlowState, FlowTotals};
use common::decide::{FlowShares, count_flow, enter_ring};

use crate::maps::{FLOW, FLOW_LIMITS, FLOW_SHARE, FLOW_TOTALS, RING};
use crate::report::count;
use crate::tables::Maps;

impl FlowShares for Maps {
    #[inline(always)]
    fn limits(&self) -> FlowLimits {
        FLOW_LIMITS.load()
    }

    #[inline(always)]
    fn next_place(&self, limits: &FlowLimits) -> Option<&Cell<FlowPlace>> {
        // SAFETY: a field of a row of the map.
        let taken = add(unsafe { &raw mut (*totals()?).taken }, 1);
        let place = RING.get_ptr_mut(taken as u32 & limits.last_place)?;
        // SAFETY: a cell is its value, in memory that lives as long as the program runs.
        Some(unsafe { &*place.cast::<Cell<FlowPlace>>() })
    }

    #[inline(always)]
    fn passing(&self, key: &FlowKey) -> Option<FlowState> {
        // SAFETY: words of an entry that lives until the next grace period.
        let [_epoch, state] = unsafe { FLOW.get(key) }?;
        let state = FlowState(*state);
        if state.is(FlowState::COUNTED) { None } else { Some(state) }
    }

    #[inline(always)]
    fn evict(&self, key: &FlowKey, is_lost: bool) {
        if FLOW.remove(key).is_ok() && is_lost {
            count(Counter::FlowsEvicted);
        }
    }

    #[inline(always)]
    fn places(&self, slot: u32) -> i64 {
        // SAFETY: an aligned word of a row of the map.
        FLOW_SHARE.get_ptr(slot).map_or(0, |share| unsafe { (&raw const (*share).places).read_volatile() })
    }

    #[inline(always)]
    fn add_places(&self, slot: u32, count: i64) -> i64 {
        // SAFETY: a field of a row of the map.
        FLOW_SHARE.get_ptr_mut(slot).map_or(0, |share| add(unsafe { &raw mut (*share).places }, count))
    }

    #[inline(always)]
    fn add_established(&self, slot: u32, count: i64) -> i64 {
        // SAFETY: as above.
        FLOW_SHARE.get_ptr_mut(slot).map_or(i64::MAX, |share| add(unsafe { &raw mut (*share).established }, count))
    }

    #[inline(always)]
    fn add_pooled(&self, count: i64) -> i64 {
        // SAFETY: as above.
        totals().map_or(i64::MAX, |totals| add(unsafe { &raw mut (*totals).pooled }, count))
    }
}

#[inline(always)]
fn totals() -> Option<*mut FlowTotals> {
    FLOW_TOTALS.get_ptr_mut(0)
}

/// Adds to a count that other CPUs add to, too, and returns what it is then.
#[inline(always)]
fn add(count: *mut i64, more: i64) -> i64 {
    // SAFETY: the callers' pointers are to aligned words of a map.
    unsafe { atomic_xadd::<i64, i64, { AtomicOrdering::AcqRel }>(count, more) }.wrapping_add(more)
}

/// [`enter_ring`] as a global function, where `state` is 0, and otherwise [`count_flow`]. One function for both: the
/// verifier looks at the ring once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_share(slot: u32, key: *const FlowKey, state: u64) -> u64 {
    // SAFETY: null, or memory of that size: the verifier holds the callers to it.
    match unsafe { key.as_ref() } {
        Some(key) if state == 0 => u64::from(enter_ring(&Maps, slot, key)),
        Some(key) => count_flow(&Maps, slot, key, FlowState(state)).0,
        None => 0,
    }
}
