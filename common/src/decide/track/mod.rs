//! Connection tracking (DESIGN.md §3.4 to §3.6): which flow a packet belongs to, whether what allowed it still
//! holds, and which directions must allow where no flow stands for it.

mod demand;
mod flow;
mod fragments;
mod keys;
mod origin;
mod shares;

use core::cell::Cell;

use demand::Demand;
pub(super) use flow::{Held, enter, flow_under, pass_on, quote, recount};
use flow::{Known, flow_at, flow_of, is_miscounted, known};
pub(super) use keys::{key_of, local_index};
use origin::Origin;
pub use shares::{FlowShares, count, enter_ring};

use super::after_dnat::is_rewritten_here;
use super::judge::{Judgement, Question, Verdict};
use super::seen::Unsettled;
use super::tables::{judge_call, peer_of};
use super::timeouts::next;
use super::{Call, Called, Context, Decided, MaybeService, Outcome, Remote, Seen, Tables, name_tenants, tunnel};
use crate::abi::{AllowReason, Direction, DropReason, FlowEntry, FlowKey, FlowState, Peer, PeerKind, PortKey};
use crate::parse::{Arrival, Datagram, Fragment, Packet, Role, protocol};

/// Lets a packet of a flow that still holds pass, and judges every other.
#[inline(always)]
pub(super) fn track<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, seen: &mut Seen) -> Decided {
    if !fragments::recall(context, &mut seen.datagram) {
        seen.outcome.verdict = Verdict::Drop(DropReason::Fragment);
        return Decided::Seen;
    }
    let flow = flow_of(context, seen);
    let held = pass_on(context, packet, &flow, &seen.datagram);
    if held == Held::No {
        seen.flow = flow.key;
        return Decided::Open;
    }
    seen.outcome.verdict = Verdict::Allow(AllowReason::Established);
    if held == Held::Miscounted {
        seen.flow = flow.key;
        seen.unsettled.is_miscounted = true;
    }
    Decided::Seen
}

/// Judges a packet of no flow that holds. What that means for its flow is left to [`settle`].
#[inline(always)]
pub(super) fn judge<T: Tables>(context: &Context<'_, T>, arrival: Arrival, seen: &mut Seen) {
    let Seen { datagram, outcome, flow: key, unsettled, is_own, .. } = seen;
    let known = known(context, key, datagram.role);
    let remote = match context.direction {
        Direction::Egress => called_at(context, key),
        Direction::Ingress => Remote { peer: peer_of(context.tables, &key.remote), service: MaybeService::NONE },
    };
    name_tenants(context, remote.peer, outcome);
    if let Some(verdict) = already_judged(context, arrival, (key, &known), remote, datagram) {
        outcome.verdict = verdict;
        unsettled.is_miscounted = matches!(verdict, Verdict::Allow(_));
        return;
    }
    match origin::of(context, arrival, &key.remote, remote) {
        Err(reason) => outcome.verdict = Verdict::Drop(reason),
        Ok(Origin::SamePod) => outcome.verdict = Verdict::Allow(AllowReason::SamePod),
        Ok(Origin::Peer { by_node }) => {
            let port = port_out(context, datagram);
            let tunnel = tunnel::is_refused(context.tables, port, remote.peer);
            let demand = demand::of(context, datagram, key, known.get().map(|(_, state)| state), by_node);
            let is_known = known.get().is_some();
            *unsettled = Unsettled { opener: demand.opener, tunnel, is_known, is_judged: true, is_miscounted: false };
            let judgement = if tunnel && matches!(context.direction, Direction::Egress) {
                Judgement::dropped(DropReason::Tunnel)
            } else {
                ask(context, remote, key, &demand, *is_own, outcome)
            };
            outcome.take(judgement);
        }
    }
}

/// The verdict on a packet to a pod that was given behind the node's rewriting: an answer to a call that was cut there, or
/// what opens a flow under the own node's address and is not the node's.
#[inline(always)]
fn already_judged<T: Tables>(
    context: &Context<'_, T>,
    arrival: Arrival,
    (key, known): (&FlowKey, &Known<'_>),
    remote: Remote,
    datagram: &Datagram,
) -> Option<Verdict> {
    if !context.tables.is_after_dnat() || !matches!(context.direction, Direction::Ingress) {
        return None;
    }
    if let Some((_, state)) = known.get() {
        let cut = state.is(FlowState::AFTER_DNAT) && state.is(FlowState::TOMBSTONE);
        return if cut { Some(Verdict::Drop(DropReason::Revoked)) } else { None };
    }
    let hidden = matches!(datagram.role, Role::Opens)
        && matches!(remote.peer.kind(), PeerKind::OwnNode)
        && arrival.ingress_ifindex != 0;
    if !hidden {
        return None;
    }
    let (entry, state) = flow_at(context.tables, context.now, key)?;
    if !state.is(FlowState::AFTER_DNAT) || !state.is(FlowState::BY_PEER) || state.is(FlowState::TOMBSTONE) {
        return None;
    }
    let after = next(state, context.direction, datagram, context.now);
    entry.state.set(after.0);
    Some(Verdict::Allow(AllowReason::Established))
}

/// Judges every direction that must allow, the packet's own first: the first refusal is the answer. `called` becomes
/// the tenant of the backend that it is about.
#[inline(always)]
fn ask<T: Tables>(
    context: &Context<'_, T>,
    remote: Remote,
    key: &FlowKey,
    demand: &Demand,
    is_own: bool,
    outcome: &mut Outcome,
) -> Judgement {
    let mut judgement = Judgement::dropped(DropReason::Capacity);
    let mut direction = context.direction;
    for _ in 0..2 {
        if demand.must & opener(direction) != 0 {
            let end = match (direction, context.direction) {
                // What the pod called, of which this packet is an answer.
                (Direction::Egress, Direction::Ingress) => called_at(context, key),
                _ => remote,
            };
            judgement = match (direction, end.service) {
                (Direction::Egress, _) if is_left_undecided(context, end, is_own) => {
                    outcome.undecided = true;
                    leave_undecided(context, end)
                }
                (Direction::Egress, service) if service != MaybeService::NONE => {
                    let Called { judgement, peer } = call(context, end, key, demand);
                    if matches!(context.direction, Direction::Egress) {
                        outcome.destination_tenant = peer.tenant();
                    }
                    judgement
                }
                _ => judge_peer(context, direction, demand.seen_from(direction, remote.peer), key, demand),
            };
            if let Verdict::Drop(_) = judgement.verdict {
                return judgement;
            }
        }
        direction = match direction {
            Direction::Egress => Direction::Ingress,
            Direction::Ingress => Direction::Egress,
        };
    }
    judgement
}

/// Whether a call is left to be judged behind the node's rewriting. There a pod is known by its own address alone, which
/// `is_own` says that the packet has.
#[inline(always)]
fn is_left_undecided<T: Tables>(context: &Context<'_, T>, called: Remote, is_own: bool) -> bool {
    context.tables.is_after_dnat() && is_rewritten_here(called) && is_own
}

#[inline(always)]
fn leave_undecided<T: Tables>(context: &Context<'_, T>, called: Remote) -> Judgement {
    if context.endpoint.awaits(called.peer) {
        Judgement::dropped(DropReason::NotReady)
    } else {
        Judgement::left_undecided()
    }
}

/// What a pod that opens this flow calls.
#[inline(always)]
fn called_at<T: Tables>(context: &Context<'_, T>, key: &FlowKey) -> Remote {
    context.tables.remote(&key.remote, port_of(Direction::Egress, key))
}

/// Judges a pod, a node or what lies outside.
#[inline(always)]
fn judge_peer<T: Tables>(
    context: &Context<'_, T>,
    direction: Direction,
    peer: Peer,
    key: &FlowKey,
    demand: &Demand,
) -> Judgement {
    if context.endpoint.awaits(peer) {
        return Judgement::dropped(DropReason::NotReady);
    }
    let question = Question::new(direction, peer, port_of(direction, key));
    let judgement = context.tables.judge(context.endpoint.profile, &question);
    // Only of what the pod opens: the receiver may have let this one in, as an answer.
    if demand.is_opened_by_pod() { judgement.with_refusal() } else { judgement }
}

/// Judges a Service.
#[inline(always)]
fn call<T: Tables>(context: &Context<'_, T>, end: Remote, key: &FlowKey, demand: &Demand) -> Called {
    let call = Call { end, port: port_of(Direction::Egress, key), opened: demand.is_opened_by_pod() };
    judge_call(context.tables, (context.slot, context.endpoint), &call)
}

/// The flag of a flow that was opened in this direction.
#[inline(always)]
const fn opener(direction: Direction) -> u64 {
    match direction {
        Direction::Egress => FlowState::BY_POD,
        Direction::Ingress => FlowState::BY_PEER,
    }
}

/// The port that a flow opened in this direction goes to.
#[inline(always)]
fn port_of(direction: Direction, key: &FlowKey) -> PortKey {
    let port = match (key.protocol(), direction) {
        (protocol::TCP | protocol::UDP | protocol::SCTP, Direction::Egress) => key.remote_port(),
        (protocol::TCP | protocol::UDP | protocol::SCTP, Direction::Ingress) => key.local_port(),
        _ => 0,
    };
    PortKey::new(key.protocol(), port)
}

/// Where a packet goes that the pod sends, or its answer to one that it gets.
#[inline(always)]
fn port_out<T>(context: &Context<'_, T>, datagram: &Datagram) -> PortKey {
    let port = match context.direction {
        Direction::Egress => datagram.destination_port,
        Direction::Ingress => datagram.source_port,
    };
    PortKey::new(datagram.protocol, port)
}

/// Enters what a verdict means for the packet's flow and for the fragments behind it, where it
/// [is unsettled](Seen::is_unsettled). It is no part of [`judge_open`](super::judge_open), whose frame it would make too
/// large.
#[inline(always)]
pub fn settle<T: Tables>(direction: Direction, tables: &T, seen: &mut Seen) {
    if seen.unsettled.is_judged {
        settle_flow(direction, tables, seen);
    }
    if seen.unsettled.is_miscounted {
        recount(tables, seen.slot, &seen.flow);
    }
    if let Verdict::Allow(_) = seen.outcome.verdict {
        fragments::remember(direction, tables, seen);
    }
}

#[inline(always)]
fn settle_flow<T: Tables>(direction: Direction, tables: &T, seen: &mut Seen) {
    let Seen { datagram, outcome, flow: key, epoch, now, slot, unsettled, .. } = seen;
    let Unsettled { opener, tunnel, is_known, .. } = *unsettled;
    let known = if is_known { flow_at(tables, *now, key) } else { None };
    let left = if outcome.undecided { FlowState::AFTER_DNAT } else { 0 };
    match (outcome.verdict, known) {
        (Verdict::Drop(_), Some((entry, state))) => {
            outcome.verdict = Verdict::Drop(DropReason::Revoked);
            outcome.cut = !state.is(FlowState::TOMBSTONE);
            entry.state.set(state.0 | FlowState::TOMBSTONE);
        }
        (Verdict::Drop(_), None) => {}
        // What the pod sends in this flow drops, and no entry may let it pass.
        (Verdict::Allow(_), Some((entry, state))) if tunnel => {
            entry.state.set(state.0 | FlowState::TOMBSTONE);
            outcome.verdict = Verdict::Allow(AllowReason::Established);
        }
        (Verdict::Allow(_), Some((entry, state))) => {
            if !matches!(datagram.role, Role::Error) {
                let kept = state.0 & !(FlowState::ADOPTED | FlowState::AFTER_DNAT);
                let before = FlowState(kept | opener & FlowState::ADOPTED | left);
                let after = next(before, direction, datagram, *now);
                entry.renew(*epoch, after);
                unsettled.is_miscounted = is_miscounted(after, key);
            }
            outcome.verdict = Verdict::Allow(AllowReason::Established);
        }
        (Verdict::Allow(_), None) if enters(datagram) && !tunnel => {
            let state = next(FlowState(opener | left), direction, datagram, *now);
            let entry = FlowEntry { epoch: Cell::new(*epoch), state: Cell::new(state.0) };
            outcome.untracked = !enter(tables, *slot, key, &entry);
        }
        (Verdict::Allow(_), None) => {}
    }
}

/// What has no flow of its own, and what does not show its ports, enters none.
#[inline(always)]
const fn enters(datagram: &Datagram) -> bool {
    !matches!(datagram.role, Role::Stateless | Role::Error) && !matches!(datagram.fragment, Fragment::Later)
}
