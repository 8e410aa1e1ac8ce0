//! Shares of the table of flows: no endpoint's flows take another's out of it (docs/shares.md).
//!
//! A flow is established once both ends have spoken and until they close it. Established flows are counted for their
//! endpoint, and stay. All others go through one ring: each new one takes the next place, and the flow that had it leaves
//! the table, unless its endpoint has few places: those are passed over.

use core::cell::Cell;

use crate::abi::{FlowKey, FlowLimits, FlowPlace, FlowState};
use crate::decide::timeouts::is_over;

/// Places that are looked at for one flow.
const TRIES: u32 = 16;

/// The counters and the ring behind the shares. A count is what it is after the addition.
pub trait FlowShares {
    fn limits(&self) -> FlowLimits;
    /// The ring's next place, for whoever asks first.
    fn next_place(&self, limits: &FlowLimits) -> Option<&Cell<FlowPlace>>;
    /// The state of a flow that is not counted as established.
    fn passing(&self, key: &FlowKey) -> Option<FlowState>;
    /// Takes a flow out of the table. `is_lost`: its ends may go on.
    fn evict(&self, key: &FlowKey, is_lost: bool);
    fn places(&self, slot: u32) -> i64;
    fn add_places(&self, slot: u32, count: i64) -> i64;
    fn add_established(&self, slot: u32, count: i64) -> i64;
    fn add_pooled(&self, count: i64) -> i64;
}

/// Takes a place in the ring for a flow that is not established. False where there is none for this endpoint, and then the
/// flow leaves the table: too many places in a row are others', who have fewer.
#[inline(always)]
pub fn enter_ring<S: FlowShares>(shares: &S, slot: u32, key: &FlowKey) -> bool {
    let is_in = take_place(shares, slot, key);
    if !is_in {
        let own = *key;
        shares.evict(&own, false);
    }
    is_in
}

#[inline(always)]
fn take_place<S: FlowShares>(shares: &S, slot: u32, key: &FlowKey) -> bool {
    let limits = shares.limits();
    let kept = i64::from(limits.kept);
    let is_heavy = shares.places(slot) >= kept;
    for tried in 1..=TRIES {
        let Some(place) = shares.next_place(&limits) else { break };
        let old = place.get();
        if old.key.endpoint != 0
            && old.key != *key
            && let Some(state) = shares.passing(&old.key)
        {
            let is_last = tried == TRIES && !is_heavy;
            if shares.places(old.slot) <= kept && !is_last {
                continue;
            }
            shares.evict(&old.key, !is_over(state));
        }
        place.set(FlowPlace { key: *key, slot });
        count_place(shares, &old, slot);
        return true;
    }
    false
}

/// Counts a place for the endpoint in this slot, and no longer for the one that had it.
#[inline(always)]
fn count_place<S: FlowShares>(shares: &S, old: &FlowPlace, slot: u32) {
    let is_taken = old.key.endpoint != 0;
    if is_taken && old.slot == slot {
        return;
    }
    shares.add_places(slot, 1);
    if is_taken {
        shares.add_places(old.slot, -1);
    }
}

/// Counts a flow as established, or no longer: the other of what its state says. What there is no room for stays as it is.
#[inline(always)]
pub fn count<S: FlowShares>(shares: &S, slot: u32, key: &FlowKey, state: FlowState) -> FlowState {
    if state.is(FlowState::COUNTED) {
        if !take_place(shares, slot, key) {
            return state;
        }
        release(shares, slot);
        FlowState(state.0 & !FlowState::COUNTED)
    } else if establish(shares, slot) {
        FlowState(state.0 | FlowState::COUNTED)
    } else {
        state
    }
}

/// True where the endpoint may have one more.
#[inline(always)]
fn establish<S: FlowShares>(shares: &S, slot: u32) -> bool {
    let limits = shares.limits();
    let own = shares.add_established(slot, 1);
    if own <= i64::from(limits.guaranteed) {
        return true;
    }
    if own <= i64::from(limits.most) {
        if shares.add_pooled(1) <= i64::from(limits.pool) {
            return true;
        }
        shares.add_pooled(-1);
    }
    shares.add_established(slot, -1);
    false
}

/// Takes an established flow out of its endpoint's count.
#[inline(always)]
fn release<S: FlowShares>(shares: &S, slot: u32) {
    if shares.add_established(slot, -1) >= i64::from(shares.limits().guaranteed) {
        shares.add_pooled(-1);
    }
}

#[cfg(test)]
mod tests;
