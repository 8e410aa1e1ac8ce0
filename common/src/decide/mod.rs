//! Flow and tables to verdict.
//!
//! One packet at one hook: find the endpoint, read the packet, hold its sender to what the pod may send (`sender`) or its
//! receiver to what is the pod's (`receiver`), find its flow (`track`) and, where no flow that still holds stands for it,
//! judge it (`judge`) and enter that into the flow (`track`).
//!
//! The functions of this module are steps: [`look`], or [`read_closely`], [`check`], [`quote`] and [`track`]; then
//! [`judge_open`], [`check_brief`] and [`settle`]. A step leaves to the next what is in [`Seen`]. The frames of functions that
//! call each other share the 512 bytes of a program's stack, on Linux 6.1 in units of 32: with the longest chain (a program,
//! judging, a peer, a search) none is left. That is why no step is a part of another.

mod after_dnat;
mod express;
mod judge;
mod receiver;
mod seen;
mod sender;
mod service;
mod tables;
mod timeouts;
mod track;
mod tunnel;

pub use after_dnat::{
    Connection, Passage, holds_after_dnat, judge_receiver, judge_sender, settle_after_dnat, went_undecided,
};
pub use judge::{Judgement, Question, Rules, Said, Tiers, Verdict, calls_agent, consult, foreign, judge};
pub use seen::{Outcome, Seen};
pub use service::{Addresses, Behind, Call, Called, Decision, MaybeService, Remote, delegate};
pub use tables::{Tables, behind, judge_profile};
pub use track::{FlowShares, count as count_flow, enter_ring, settle};
pub use tunnel::{is_refused as is_refused_tunnel, leads_astray};

use crate::abi::{AllowReason, Direction, DropReason, Endpoint, Peer, TenantId, Ticks, ticks};
use crate::parse::{Arrival, Datagram, Frame, Packet, Role, is_written_over, parse};
use seen::Unsettled;

/// The short look at a packet.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Look<'s> {
    /// It passes, because it belongs to a flow that holds.
    Held,
    /// The same, and its flow is to be counted anew: for [`recount`].
    Miscounted,
    /// It is plain and no flow lets it pass: for [`judge_open`], with what is written down of it, [briefly](Seen::is_brief).
    Open(&'s mut Seen),
    /// It is not plain: for [`read_closely`] and [`check`].
    Unusual,
}

/// What is known of a packet once it is written down.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The verdict is there.
    Seen,
    /// It may pass as far as it can tell itself: for [`track`], and before that, as an ICMP error, for [`quote`].
    Sound,
    /// No flow lets it pass: for [`judge_open`].
    Open,
}

/// What stays the same while one packet is judged.
struct Context<'a, T> {
    direction: Direction,
    tables: &'a T,
    /// Number of the endpoint's record.
    slot: u32,
    endpoint: &'a Endpoint,
    epoch: u64,
    now: Ticks,
}

/// Takes a short look at a packet at the host side of a pod's veth: it is enough for plain packets. `seen` is asked for
/// and overwritten where the packet is open.
#[inline(always)]
pub fn look<'s, P: Packet, T: Tables>(
    direction: Direction,
    packet: &P,
    tables: &T,
    seen: impl FnOnce() -> Option<&'s mut Seen>,
) -> Look<'s> {
    match begin(direction, packet, tables) {
        Ok(context) => express::look(&context, packet, seen),
        Err(_) => Look::Unusual,
    }
}

/// Counts the flow of a packet anew, after a [look](Look::Miscounted) or where it is miscounted still.
#[inline(always)]
pub fn recount<T: Tables>(tables: &T, seen: &Seen) {
    track::recount(tables, seen.slot, &seen.flow);
}

/// Reads a packet of any shape into `seen`; what could not be read stays empty.
///
/// # Errors
/// Those of [`parse`].
#[inline(always)]
pub fn read_closely<P: Packet>(packet: &P, seen: &mut Seen) -> Result<(), DropReason> {
    (seen.frame, seen.datagram) = (Frame::EMPTY, Datagram::EMPTY);
    parse(packet, &mut seen.frame, &mut seen.datagram)
}

/// Checks a packet of any shape after [`read_closely`], whose answer is `read`: everything that needs neither its flow nor
/// a policy.
#[inline(always)]
pub fn check<P: Packet, T: Tables>(
    direction: Direction,
    packet: &P,
    read: Result<(), DropReason>,
    tables: &T,
    seen: &mut Seen,
) -> Decided {
    let context = match begin(direction, packet, tables) {
        Ok(context) => context,
        Err(reason) => {
            // Its event says no addresses: there is no pod that they could be held against.
            *seen = Seen { outcome: Outcome::of(direction, 0), now: ticks(tables.time()), ..Seen::EMPTY };
            seen.outcome.verdict = Verdict::Drop(reason);
            return Decided::Seen;
        }
    };
    seen.clear(&context);
    seen.is_own = context.endpoint.owns(match direction {
        Direction::Egress => &seen.datagram.source,
        Direction::Ingress => &seen.datagram.destination,
    });
    match examine(&context, packet, read, seen) {
        Ok(Step::Done(reason)) => seen.outcome.verdict = Verdict::Allow(reason),
        Ok(Step::Track) => return Decided::Sound,
        Err(reason) => {
            seen.outcome.verdict = Verdict::Drop(reason);
            let peer = tables.peer(seen.remote(direction)).unwrap_or(Peer::EXTERNAL);
            name_tenants(&context, peer, &mut seen.outcome);
        }
    }
    Decided::Seen
}

/// Looks for the flow that an ICMP error is about, after [`check`] and before [`track`].
#[inline(always)]
pub fn quote<P: Packet, T: Tables>(direction: Direction, packet: &P, tables: &T, seen: &mut Seen) {
    match reopen(direction, packet.arrival().ifindex, tables, seen) {
        Ok(context) => track::quote(&context, packet, seen),
        Err(_) => seen.datagram.role = Role::Stateless,
    }
}

/// Looks for the flow of a packet of any shape after [`check`], and lets it pass where that holds.
#[inline(always)]
pub fn track<P: Packet, T: Tables>(direction: Direction, packet: &P, tables: &T, seen: &mut Seen) -> Decided {
    match reopen(direction, packet.arrival().ifindex, tables, seen) {
        Ok(context) => track::track(&context, packet, seen),
        Err(reason) => {
            seen.outcome.verdict = Verdict::Drop(reason);
            Decided::Seen
        }
    }
}

/// Judges a packet that no flow lets pass, after it is written down. In the programs this is a function of its own,
/// which their verifier looks at once and not once for each way through the parser.
#[inline(always)]
pub fn judge_open<T: Tables>(direction: Direction, arrival: Arrival, tables: &T, seen: &mut Seen) {
    match reopen(direction, arrival.ifindex, tables, seen) {
        Ok(context) => track::judge(&context, arrival, seen),
        Err(reason) => seen.outcome.verdict = Verdict::Drop(reason),
    }
}

/// The context of a packet that is written down.
///
/// # Errors
/// Its endpoint has gone.
#[inline(always)]
fn reopen<'a, T: Tables>(
    direction: Direction,
    ifindex: u32,
    tables: &'a T,
    seen: &Seen,
) -> Result<Context<'a, T>, DropReason> {
    let Seen { slot, epoch, now, .. } = *seen;
    let endpoint = endpoint_in(tables, slot, ifindex)?;
    Ok(Context { direction, tables, slot, endpoint, epoch, now })
}

/// Drops a packet that judging allows although a checksum is to be written over what was read of it: what [`check`] does
/// for those that are not plain.
#[inline(always)]
pub fn check_brief<P: Packet>(direction: Direction, packet: &P, seen: &mut Seen) {
    let is_allowed = matches!(seen.outcome.verdict, Verdict::Allow(_));
    if matches!(direction, Direction::Egress)
        && is_allowed
        && seen.is_brief()
        && is_written_over(packet, &seen.datagram)
    {
        seen.outcome = Outcome { undecided: false, rule: 0, audited: None, ..seen.outcome };
        seen.outcome.verdict = Verdict::Drop(DropReason::Malformed);
        seen.unsettled = Unsettled::NOTHING;
    }
}

/// Finds the endpoint.
///
/// # Errors
/// Why there is none.
#[inline(always)]
fn begin<'a, P: Packet, T: Tables>(
    direction: Direction,
    packet: &P,
    tables: &'a T,
) -> Result<Context<'a, T>, DropReason> {
    // Read first: what is stamped on a flow must not be newer than the rules that allowed it.
    let epoch = tables.epoch();
    let (slot, endpoint) = endpoint_of(tables, packet.arrival().ifindex)?;
    Ok(Context { direction, tables, slot, endpoint, epoch, now: ticks(tables.time()) })
}

/// What is left to do for a packet that may pass so far.
enum Step {
    Done(AllowReason),
    Track,
}

/// The endpoint behind an interface, and the number of its record.
#[inline(always)]
fn endpoint_of<T: Tables>(tables: &T, ifindex: u32) -> Result<(u32, &Endpoint), DropReason> {
    let interface = tables.interface(ifindex).ok_or(DropReason::NotReady)?;
    if interface.ifindex() != ifindex || interface.is_bridge() {
        return Err(DropReason::NotReady);
    }
    let slot = interface.slot();
    Ok((slot, endpoint_in(tables, slot, ifindex)?))
}

#[inline(always)]
fn endpoint_in<T: Tables>(tables: &T, slot: u32, ifindex: u32) -> Result<&Endpoint, DropReason> {
    let endpoint = tables.endpoint(slot).ok_or(DropReason::Capacity)?;
    if endpoint.ifindex == ifindex && endpoint.id != 0 { Ok(endpoint) } else { Err(DropReason::Capacity) }
}

/// Everything that needs no policy.
#[inline(always)]
fn examine<P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    read: Result<(), DropReason>,
    seen: &Seen,
) -> Result<Step, DropReason> {
    match context.direction {
        Direction::Egress => sender::check_frame(&seen.frame, context.endpoint)?,
        Direction::Ingress => receiver::check_frame(&seen.frame, context.endpoint)?,
    }
    read?;
    if matches!(context.direction, Direction::Egress) {
        sender::check_unsummed(packet, &seen.frame, &seen.datagram)?;
    }
    if seen.frame.is_arp() {
        if matches!(context.direction, Direction::Egress) {
            sender::check_arp(packet, &seen.frame.arp, context.tables, context.endpoint)?;
        }
        return Ok(Step::Done(AllowReason::Neighbour));
    }
    if matches!(seen.datagram.role, Role::Neighbour) {
        return match context.direction {
            Direction::Egress => sender::check_neighbour(packet, &seen.datagram, context.tables, context.endpoint),
            Direction::Ingress => receiver::check_neighbour(packet, &seen.datagram),
        }
        .map(|()| Step::Done(AllowReason::Neighbour));
    }
    match context.direction {
        Direction::Egress => sender::check_datagram(packet, &seen.datagram, context.tables, context.endpoint)?,
        Direction::Ingress => {
            receiver::check_datagram(packet, &seen.frame, &seen.datagram, context.tables, context.endpoint)?;
        }
    }
    Ok(Step::Track)
}

/// Whose packet it is, and who it is for.
#[inline(always)]
fn name_tenants<T: Tables>(context: &Context<'_, T>, peer: Peer, outcome: &mut Outcome) {
    let own = context.tables.profile(context.endpoint.profile).map_or(TenantId::PLATFORM, |profile| profile.tenant);
    (outcome.source_tenant, outcome.destination_tenant) = match context.direction {
        Direction::Egress => (own, peer.tenant()),
        Direction::Ingress => (peer.tenant(), own),
    };
}
