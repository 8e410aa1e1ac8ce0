//! What the programs keep of a packet between their steps.

use super::{Context, Judgement, Verdict};
use crate::abi::{Address, Direction, DropReason, FlowKey, TenantId, Ticks};
use crate::parse::{Datagram, Fragment, Frame, Role};

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

    #[inline(always)]
    pub(super) const fn take(&mut self, Judgement { verdict, rule, audited, refused, .. }: Judgement) {
        (self.verdict, self.rule, self.audited) = (verdict, rule, audited);
        if let (Verdict::Drop(_), Some(_)) = (verdict, refused) {
            self.direction = Direction::Ingress;
        }
    }
}

/// No endpoint's record: more than there can be.
const NO_SLOT: u32 = u32::MAX;

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
    /// The packet's flow, where it is open ([`Decided::Open`](super::Decided::Open)).
    pub flow: FlowKey,
    /// As it was before anything was looked up.
    pub epoch: u64,
    /// The moment of the packet.
    pub now: Ticks,
    /// Number of the endpoint's record; that of none where there is no endpoint.
    pub slot: u32,
    /// The address of the packet at the pod's end is the pod's own.
    pub is_own: bool,
    /// What judging leaves to settling ([`settle`](super::settle)).
    pub unsettled: Unsettled,
}

/// A judgement of which the packet's flow does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Unsettled {
    /// The flags of the flow that an allowed packet enters.
    pub(super) opener: u64,
    /// The other end is a tunnel's: what the pod sends in this flow drops.
    pub(super) tunnel: bool,
    /// The flow has an entry.
    pub(super) is_known: bool,
    /// There is a judgement, of policy.
    pub(super) is_judged: bool,
    /// The flow is to be counted anew.
    pub(super) is_miscounted: bool,
}

impl Unsettled {
    pub(super) const NOTHING: Self =
        Self { opener: 0, tunnel: false, is_known: false, is_judged: false, is_miscounted: false };
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
        now: 0,
        slot: NO_SLOT,
        is_own: false,
        unsettled: Unsettled::NOTHING,
    };

    /// Forgets all of the packet before but what is read anew. The parts are cleared one by one because each is zero but
    /// for the verdict: a copy of [`Self::EMPTY`] would be read from memory.
    #[inline(always)]
    pub(super) fn clear<T>(&mut self, context: &Context<'_, T>) {
        self.outcome = Outcome::of(context.direction, context.endpoint.id);
        self.flow = FlowKey::EMPTY;
        (self.epoch, self.now, self.slot) = (context.epoch, context.now, context.slot);
        self.is_own = false;
        self.unsettled = Unsettled::NOTHING;
    }

    /// The other end of the packet, as far as it could be read.
    #[must_use]
    #[inline(always)]
    pub const fn remote(&self, direction: Direction) -> &Address {
        match direction {
            _ if self.flow.endpoint != 0 => &self.flow.remote,
            Direction::Egress => &self.datagram.destination,
            Direction::Ingress => &self.datagram.source,
        }
    }

    /// Whether a short look has left out what nobody but an event tells of the packet: for
    /// [`read_closely`](super::read_closely). Until then the fields that it has left out are an earlier packet's.
    #[must_use]
    #[inline(always)]
    pub const fn is_brief(&self) -> bool {
        self.frame.ether_type == 0 && self.flow.endpoint != 0
    }

    /// Whether there is anything to [`quote`](super::quote).
    #[must_use]
    #[inline(always)]
    pub const fn is_error(&self) -> bool {
        matches!(self.datagram.role, Role::Error)
    }

    /// Whether [`settle`](super::settle) has anything to do. Not where a packet drops that has no flow.
    #[must_use]
    #[inline(always)]
    pub const fn is_unsettled(&self) -> bool {
        let Unsettled { is_judged, is_known, is_miscounted, .. } = self.unsettled;
        match self.outcome.verdict {
            Verdict::Allow(_) => is_judged || is_miscounted || matches!(self.datagram.fragment, Fragment::First),
            Verdict::Drop(_) => is_known,
        }
    }
}
