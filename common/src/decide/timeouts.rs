//! Time that a flow without packets is remembered, and what a packet changes about it.
//!
//! A flow lives at least as long as in the kernel's own conntrack (`nf_conntrack_proto_*.c`, Linux 6.18), or a connection
//! that is idle would be cut here and nowhere else. What the ends themselves may ignore (a RST whose sequence number is
//! wrong) shortens no flow: it makes it the first to leave a full table.

use crate::abi::{Direction, FlowState, SECOND, Ticks};
use crate::parse::Datagram;
use crate::parse::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

const OPENING: Ticks = 120 * SECOND;
const ESTABLISHED: Ticks = 5 * 24 * 3600 * SECOND;
/// Both ends have sent a FIN (`TIME_WAIT`).
const CLOSED: Ticks = 120 * SECOND;
/// A datagram, and its answers within [`QUESTION`].
const DATAGRAM: Ticks = 30 * SECOND + QUESTION;
const STREAM: Ticks = 120 * SECOND;
/// Any other protocol (`nf_conntrack_generic_timeout`).
const OTHER: Ticks = 600 * SECOND;
/// What is answered for longer than this is a stream.
const QUESTION: Ticks = 2 * SECOND;
/// The ends of a connection that both have closed are silent after this.
const LINGERING: Ticks = 10 * SECOND;
/// Between the first and the last fragment of a datagram (the kernel's `ipfrag_time`).
pub(super) const REASSEMBLY: Ticks = 30 * SECOND;

/// The state of a flow after one more packet of it. A new flow's `state` has no expiry, but the flags that say who opened
/// it.
#[inline(always)]
pub(super) fn next(state: FlowState, direction: Direction, datagram: &Datagram, now: Ticks) -> FlowState {
    let mut flags = state.flags() & !(FlowState::TOMBSTONE | FlowState::RESET);
    let (other, closes) = match direction {
        Direction::Egress => (FlowState::BY_PEER, FlowState::FIN_BY_POD),
        Direction::Ingress => (FlowState::BY_POD, FlowState::FIN_BY_PEER),
    };
    if flags & other != 0 {
        flags |= FlowState::ANSWERED;
    }
    if matches!(datagram.protocol, TCP | SCTP) {
        if datagram.fin {
            flags |= closes;
        } else if is_closed(flags) && now.wrapping_sub(state.expires().wrapping_sub(CLOSED)) >= LINGERING {
            // The ends have closed nothing: they took the FIN for a stranger's.
            flags &= !closes;
        }
        if datagram.rst {
            flags |= FlowState::RESET;
        }
    } else if flags & (FlowState::ANSWERED | FlowState::STREAM) == FlowState::ANSWERED {
        return question(state, flags, datagram.protocol, now);
    }
    FlowState::new(now.wrapping_add(lifetime(flags, datagram.protocol)), flags)
}

/// The state of datagrams that have just been answered: a question and its answers are not prolonged, a stream is.
#[inline(always)]
fn question(state: FlowState, flags: u64, protocol: u8, now: Ticks) -> FlowState {
    let was_answered = state.is(FlowState::ANSWERED);
    let asked = state.expires().wrapping_sub(lifetime(flags, protocol));
    if !was_answered {
        return FlowState::new(now.wrapping_add(lifetime(flags, protocol)), flags);
    }
    if now.wrapping_sub(asked) < QUESTION {
        return FlowState::new(state.expires(), flags);
    }
    let flags = flags | FlowState::STREAM;
    FlowState::new(now.wrapping_add(lifetime(flags, protocol)), flags)
}

#[inline(always)]
const fn is_closed(flags: u64) -> bool {
    const BOTH: u64 = FlowState::FIN_BY_POD | FlowState::FIN_BY_PEER;
    flags & BOTH == BOTH
}

/// True where the ends have said that they have closed the flow.
#[inline(always)]
pub(super) const fn is_over(state: FlowState) -> bool {
    state.is(FlowState::RESET) || is_closed(state.flags())
}

/// True where both ends have spoken and neither has closed the flow: it counts for its endpoint's share.
#[inline(always)]
pub(super) const fn is_established(state: FlowState, protocol: u8) -> bool {
    match protocol {
        TCP | SCTP => state.is(FlowState::ANSWERED) && !is_over(state),
        ICMP | ICMPV6 => false,
        _ => state.is(FlowState::STREAM),
    }
}

#[inline(always)]
pub(super) const fn lifetime(flags: u64, protocol: u8) -> Ticks {
    match protocol {
        TCP | SCTP if is_closed(flags) => CLOSED,
        TCP | SCTP if flags & FlowState::ANSWERED != 0 => ESTABLISHED,
        TCP | SCTP => OPENING,
        UDP if flags & FlowState::STREAM != 0 => STREAM,
        UDP | ICMP | ICMPV6 => DATAGRAM,
        _ => OTHER,
    }
}

/// True where the change is worth a write: a flag, or a second.
#[inline(always)]
pub(super) const fn worth_writing(old: FlowState, new: FlowState) -> bool {
    old.flags() != new.flags() || old.expires().abs_diff(new.expires()) >= SECOND
}

/// True until the moment that `expires` names.
#[inline(always)]
pub(super) const fn is_alive(expires: Ticks, now: Ticks) -> bool {
    expires.wrapping_sub(now) as i32 > 0
}

#[cfg(test)]
mod tests;
