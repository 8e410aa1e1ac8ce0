//! The flow that a packet belongs to, and whether what allowed it still holds.

use super::keys;
use crate::abi::{Direction, FlowEntry, FlowKey, FlowState};
use crate::decide::timeouts::{is_alive, next, worth_writing};
use crate::decide::{Context, Tables};
use crate::parse::{Datagram, Packet, Role};

/// Where a packet belongs.
pub(in crate::decide) struct Flow<'a> {
    pub(in crate::decide) key: FlowKey,
    known: Known<'a>,
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

/// The packet's flow, if it is known. An ICMP error that quotes no known flow stands for itself.
#[inline(always)]
pub(super) fn flow_of<'a, P: Packet, T: Tables>(
    context: &Context<'a, T>,
    packet: &P,
    datagram: &mut Datagram,
) -> Flow<'a> {
    if matches!(datagram.role, Role::Error) {
        if let Some(key) = keys::quoted_key(context, packet, datagram)
            && let Some((entry, state)) = live_flow(context, &key)
        {
            return Flow { key, known: Known { entry: Some(entry), state } };
        }
        datagram.role = Role::Stateless;
    }
    own_flow(context, datagram)
}

/// The flow of what is no ICMP error.
#[inline(always)]
pub(in crate::decide) fn own_flow<'a, T: Tables>(context: &Context<'a, T>, datagram: &Datagram) -> Flow<'a> {
    let key = keys::key_of(context, datagram);
    let known = known(context, &key, datagram.role);
    Flow { key, known }
}

/// The flow under a key, for a packet of this role.
#[inline(always)]
pub(super) fn known<'a, T: Tables>(context: &Context<'a, T>, key: &FlowKey, role: Role) -> Known<'a> {
    // What opens a flow is judged whatever was there before, and what has no flow has none to look for.
    if matches!(role, Role::Opens | Role::Stateless) {
        return Known::NONE;
    }
    match live_flow(context, key) {
        Some((entry, state)) => Known { entry: Some(entry), state },
        None => Known::NONE,
    }
}

/// The flow's entry, unless it has expired.
#[inline(always)]
pub(super) fn live_flow<'a, T: Tables>(context: &Context<'a, T>, key: &FlowKey) -> Option<(&'a FlowEntry, FlowState)> {
    let entry = context.tables.flow(key)?;
    let state = FlowState(entry.state.get());
    if is_alive(state.expires(), context.now) { Some((entry, state)) } else { None }
}

/// Whether what allowed the flow still holds; then the packet is noted in its entry. An ICMP error says nothing about
/// its flow being used.
#[inline(always)]
pub(in crate::decide) fn pass_on<P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    flow: &Flow<'_>,
    datagram: &Datagram,
) -> bool {
    let Some((entry, state)) = flow.known.get() else { return false };
    let after_dnat = is_judged_after_dnat(context, state);
    if (entry.epoch.get() != context.epoch && !after_dnat) || state.is(FlowState::TOMBSTONE | FlowState::ADOPTED) {
        return false;
    }
    if after_dnat && matches!(context.direction, Direction::Egress) {
        packet.leave_undecided();
    }
    let after = next(state.flags(), context.direction, datagram, context.now);
    if !matches!(datagram.role, Role::Error) && worth_writing(state, after) {
        entry.state.set(after.0);
    }
    true
}

/// Whether a flow is judged where the node has rewritten it: each of its packets passes there, in either direction.
#[inline(always)]
fn is_judged_after_dnat<T: Tables>(context: &Context<'_, T>, state: FlowState) -> bool {
    context.tables.settings().after_dnat != 0 && state.is(FlowState::AFTER_DNAT)
}
