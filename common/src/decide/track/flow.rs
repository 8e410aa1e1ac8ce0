//! The flow that a packet belongs to, and whether what allowed it still holds.

use super::keys;
use crate::abi::{Direction, FlowEntry, FlowKey, FlowState, Ticks};
use crate::decide::timeouts::{is_alive, is_established, next, worth_writing};
use crate::decide::{Context, Seen, Tables};
use crate::parse::{Datagram, Packet, Role};

/// Where a packet belongs.
pub(in crate::decide) struct Flow<'a> {
    pub(in crate::decide) key: FlowKey,
    known: Known<'a>,
}

impl Flow<'_> {
    #[inline(always)]
    pub(in crate::decide) const fn is_known(&self) -> bool {
        self.known.entry.is_some()
    }
}

/// Whether what allowed a flow still holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::decide) enum Held {
    No,
    Yes,
    /// It does, and the flow is to be counted anew: [`recount`].
    Miscounted,
}

/// A flow's entry, if there is one.
pub(super) struct Known<'a> {
    entry: Option<&'a FlowEntry>,
    /// Of the entry when it was looked up. Zero where there is none: a verifier lets nobody move what was never written.
    state: FlowState,
}

impl<'a> Known<'a> {
    const NONE: Self = Self { entry: None, state: FlowState(0) };

    #[inline(always)]
    pub(super) fn get(&self) -> Option<(&'a FlowEntry, FlowState)> {
        Some((self.entry?, self.state))
    }
}

/// Writes down the flow that an ICMP error quotes a packet of. One that quotes no known flow stands for itself.
#[inline(always)]
pub(in crate::decide) fn quote<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, seen: &mut Seen) {
    match keys::quoted_key(context, packet, &seen.datagram) {
        Some(key) if flow_at(context.tables, context.now, &key).is_some() => seen.flow = key,
        _ => seen.datagram.role = Role::Stateless,
    }
}

/// The packet's flow, if it is known: of an ICMP error the one that [`quote`] has written down.
#[inline(always)]
pub(super) fn flow_of<'a, T: Tables>(context: &Context<'a, T>, seen: &Seen) -> Flow<'a> {
    let datagram = &seen.datagram;
    let key = if seen.is_error() { seen.flow } else { keys::key_of(context.endpoint.id, context.direction, datagram) };
    flow_under(context, key, datagram.role)
}

/// The flow under a key, for a packet of this role.
#[inline(always)]
pub(in crate::decide) fn flow_under<'a, T: Tables>(context: &Context<'a, T>, key: FlowKey, role: Role) -> Flow<'a> {
    let known = known(context, &key, role);
    Flow { key, known }
}

/// The entry under a key, for a packet of this role.
#[inline(always)]
pub(super) fn known<'a, T: Tables>(context: &Context<'a, T>, key: &FlowKey, role: Role) -> Known<'a> {
    // What opens a flow is judged whatever was there before, and what has no flow has none to look for.
    if matches!(role, Role::Opens | Role::Stateless) {
        return Known::NONE;
    }
    match flow_at(context.tables, context.now, key) {
        Some((entry, state)) => Known { entry: Some(entry), state },
        None => Known::NONE,
    }
}

/// The flow's entry, unless it has expired at this moment.
#[inline(always)]
pub(super) fn flow_at<'a, T: Tables>(tables: &'a T, now: Ticks, key: &FlowKey) -> Option<(&'a FlowEntry, FlowState)> {
    let entry = tables.flow(key)?;
    let state = FlowState(entry.state.get());
    if is_alive(state.expires(), now) { Some((entry, state)) } else { None }
}

/// Says whether what allowed the flow still holds; then the packet is noted in its entry. An ICMP error says nothing about
/// its flow being used.
#[inline(always)]
pub(in crate::decide) fn pass_on<P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    flow: &Flow<'_>,
    datagram: &Datagram,
) -> Held {
    let Some((entry, state)) = flow.known.get() else { return Held::No };
    let after_dnat = is_judged_after_dnat(context, state);
    if (entry.epoch.get() != context.epoch && !after_dnat) || state.is(FlowState::TOMBSTONE | FlowState::ADOPTED) {
        return Held::No;
    }
    if after_dnat && matches!(context.direction, Direction::Egress) {
        packet.leave_undecided();
    }
    let after = next(state, context.direction, datagram, context.now);
    if !matches!(datagram.role, Role::Error) && worth_writing(state, after) {
        entry.state.set(after.0);
        if is_miscounted(after, &flow.key) {
            return Held::Miscounted;
        }
    }
    Held::Yes
}

/// Whether a flow counts as established and is not, or the other way round.
#[inline(always)]
pub(super) const fn is_miscounted(state: FlowState, key: &FlowKey) -> bool {
    is_established(state, key.protocol()) != state.is(FlowState::COUNTED)
}

/// Counts a flow as what it is, if it is miscounted.
#[inline(always)]
pub(in crate::decide) fn recount<T: Tables>(tables: &T, slot: u32, key: &FlowKey) {
    let Some(entry) = tables.flow(key) else { return };
    let state = FlowState(entry.state.get());
    if is_miscounted(state, key) {
        entry.state.set(tables.count_flow(slot, key, state).0);
    }
}

/// Enters a flow into the table. False where there is no room for it.
#[inline(always)]
pub(in crate::decide) fn enter<T: Tables>(tables: &T, slot: u32, key: &FlowKey, entry: &FlowEntry) -> bool {
    if tables.insert_flow(key, entry) {
        return tables.enter_ring(slot, key);
    }
    // Its ports are used again. One that was not established has its place already.
    let Some(earlier) = tables.flow(key) else { return false };
    let mut before = FlowState(earlier.state.get());
    if before.is(FlowState::COUNTED) {
        before = tables.count_flow(slot, key, before);
    }
    earlier.renew(entry.epoch.get(), FlowState(entry.state.get() | before.0 & FlowState::COUNTED));
    true
}

/// Whether a flow is judged where the node has rewritten it: each of its packets passes there, in either direction.
#[inline(always)]
fn is_judged_after_dnat<T: Tables>(context: &Context<'_, T>, state: FlowState) -> bool {
    context.tables.is_after_dnat() && state.is(FlowState::AFTER_DNAT)
}
