//! Flow and tables to verdict.
//!
//! One packet at one hook: find the endpoint, read the packet hold its sender to what the pod may send
//! (`sender`) or its receiver to what is the pod's (`receiver`), find its flow (`track`) and, where no flow
//! that still holds stands for it, judge it (`judge`).

mod after_dnat;
mod express;
mod judge;
mod receiver;
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
pub use service::{Addresses, Behind, Call, Called, Decision, MaybeService, Remote, delegate};
pub use tables::{Tables, behind, judge_profile};
pub use tunnel::{is_refused as is_refused_tunnel, leads_astray};

use crate::abi::{AllowReason, Direction, DropReason, Endpoint, FlowKey, Peer, TenantId, Ticks, ticks};
use crate::parse::{Arrival, Datagram, Frame, Packet, Role, parse};

/// A packet's verdict, with everything that an event or a counter says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Outcome {
    pub verdict: Verdict,
    /// As in [`Judgement`].
    pub rule: u32,
    pub audited: Option<DropReason>,
    /// The endpoint's id, 0 where the interface has none.
    pub endpoint: u32,
    /// Of the packet's source and destination, as far as they were looked up.
    pub source_tenant: TenantId,
    pub destination_tenant: TenantId,
    /// The packet found its flow no longer allowed, and is the first one to.
    pub cut: bool,
    /// The flow could not be entered into the table.
    pub untracked: bool,
    /// It passes to be judged behind the node's rewriting.
    pub undecided: bool,
    /// Whose verdict it is: that of the hook, but where the receiver's is carried out at the sender.
    pub direction: Direction,
}

impl Outcome {
    #[must_use]
    pub const fn of(direction: Direction, endpoint: u32) -> Self {
        Self {
            verdict: Verdict::Drop(DropReason::Capacity),
            rule: 0,
            audited: None,
            endpoint,
            source_tenant: TenantId::PLATFORM,
            destination_tenant: TenantId::PLATFORM,
            cut: false,
            untracked: false,
            undecided: false,
            direction,
        }
    }
}

/// What has been read of a packet and decided about it.
///
/// The programs keep it in a map of their own and not on their stack: it would take half of the 512 bytes, and
/// a verifier that tracks each field's value walks every path through the parser to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Seen {
    pub frame: Frame,
    pub datagram: Datagram,
    pub outcome: Outcome,
    /// The packet's flow, where [`Decided::Open`].
    pub flow: FlowKey,
    /// As it was before anything was looked up, where [`Decided::Open`].
    pub epoch: u64,
}

// SAFETY: read back by tests only, from a map into which the programs write whole values of this type.
#[cfg(feature = "user")]
#[allow(unsafe_code, reason = "aya asks for it to read a map")]
unsafe impl aya::Pod for Seen {}

impl Seen {
    pub const EMPTY: Self = Self {
        frame: Frame::EMPTY,
        datagram: Datagram::EMPTY,
        outcome: Outcome::of(Direction::Egress, 0),
        flow: FlowKey::EMPTY,
        epoch: 0,
    };

    /// Forgets the packet before. The parts are cleared one by one because each is zero but for the verdict: a
    /// copy of [`Self::EMPTY`] would be read from memory.
    #[inline(always)]
    fn clear(&mut self, direction: Direction, endpoint: u32) {
        self.frame = Frame::EMPTY;
        self.datagram = Datagram::EMPTY;
        self.outcome = Outcome::of(direction, endpoint);
        self.flow = FlowKey::EMPTY;
        self.epoch = 0;
    }
}

/// What is known of a packet once it is decided about.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It passes, because it belongs to a flow that holds. Nothing was written down about it.
    Held,
    /// The verdict and all that was read of the packet is in the `seen`.
    Seen,
    /// No flow lets it pass. All that was read of it is in the `seen`, for [`judge_open`].
    Open,
    /// It is no plain packet, and [`decide_at_length`] decides. Nothing was written down about it.
    Unusual,
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

/// Decides about a packet at the host side of a pod's veth. `seen` is overwritten, or left alone where the answer says so;
/// what could not be read of the packet stays empty.
#[inline(always)]
pub fn decide<P: Packet, T: Tables>(direction: Direction, packet: &P, tables: &T, seen: &mut Seen) -> Decided {
    let Some(context) = begin(direction, packet, tables, seen) else { return Decided::Seen };
    express::look(&context, packet, seen)
}

/// The same without the short cuts that plain packets take, for packets of any shape. Never [`Decided::Unusual`].
pub fn decide_at_length<P: Packet, T: Tables>(
    direction: Direction,
    packet: &P,
    tables: &T,
    seen: &mut Seen,
) -> Decided {
    let Some(context) = begin(direction, packet, tables, seen) else { return Decided::Seen };
    look_closely(&context, packet, seen)
}

/// Judges a packet that no flow lets pass, after [`decide`] has read it. In the programs this is a function of its own,
/// which their verifier looks at once and not once for each way through the parser.
#[inline(always)]
pub fn judge_open<T: Tables>(direction: Direction, arrival: Arrival, tables: &T, seen: &mut Seen) {
    match endpoint_of(tables, arrival.ifindex) {
        Ok((slot, endpoint)) => {
            let (epoch, now) = (seen.epoch, ticks(tables.time()));
            track::judge(&Context { direction, tables, slot, endpoint, epoch, now }, arrival, seen);
        }
        Err(reason) => seen.outcome.verdict = Verdict::Drop(reason),
    }
}

/// Finds the endpoint. `None` where it has none: that is in `seen`.
#[inline(always)]
fn begin<'a, P: Packet, T: Tables>(
    direction: Direction,
    packet: &P,
    tables: &'a T,
    seen: &mut Seen,
) -> Option<Context<'a, T>> {
    // Read first: what is stamped on a flow must not be newer than the rules that allowed it.
    let epoch = tables.epoch();
    match endpoint_of(tables, packet.arrival().ifindex) {
        Ok((slot, endpoint)) => Some(Context { direction, tables, slot, endpoint, epoch, now: ticks(tables.time()) }),
        Err(reason) => {
            seen.clear(direction, 0);
            seen.outcome.verdict = Verdict::Drop(reason);
            None
        }
    }
}

/// Reads a packet of any shape, and finds out whether it may pass.
#[inline(always)]
fn look_closely<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, seen: &mut Seen) -> Decided {
    seen.clear(context.direction, context.endpoint.id);
    match examine(context, packet, seen) {
        Ok(Step::Done(reason)) => seen.outcome.verdict = Verdict::Allow(reason),
        Ok(Step::Track) => return track::track(context, packet, seen),
        Err(reason) => {
            seen.outcome.verdict = Verdict::Drop(reason);
            let remote = match context.direction {
                Direction::Egress => &seen.datagram.destination,
                Direction::Ingress => &seen.datagram.source,
            };
            let peer = context.tables.peer(remote).unwrap_or(Peer::EXTERNAL);
            name_tenants(context, peer, &mut seen.outcome);
        }
    }
    Decided::Seen
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
    let endpoint = tables.endpoint(slot).ok_or(DropReason::Capacity)?;
    if endpoint.ifindex == ifindex && endpoint.id != 0 { Ok((slot, endpoint)) } else { Err(DropReason::Capacity) }
}

/// Everything that needs no policy.
#[inline(always)]
fn examine<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, seen: &mut Seen) -> Result<Step, DropReason> {
    let parsed = parse(packet, &mut seen.frame, &mut seen.datagram);
    match context.direction {
        Direction::Egress => sender::check_frame(&seen.frame, context.endpoint)?,
        Direction::Ingress => receiver::check_frame(&seen.frame, context.endpoint)?,
    }
    parsed?;
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
