//! How long a flow without packets is remembered (DATAPATH.md §4), and what a packet changes about it.

use crate::abi::{Direction, FlowState, SECOND, Ticks};
use crate::parse::Datagram;
use crate::parse::protocol::{SCTP, TCP};

const OPENING: Ticks = 60 * SECOND;
const ESTABLISHED: Ticks = 6 * 3600 * SECOND;
const CLOSING: Ticks = 10 * SECOND;
const UNANSWERED: Ticks = 30 * SECOND;
const ANSWERED: Ticks = 120 * SECOND;
/// Between the first and the last fragment of a datagram (the kernel's `ipfrag_time`).
pub(super) const REASSEMBLY: Ticks = 30 * SECOND;

/// The state of a flow after one more packet of it. `opener` are the flags that say who opened it.
#[inline(always)]
pub(super) fn next(flags: u64, direction: Direction, datagram: &Datagram, now: Ticks) -> FlowState {
    let mut flags = flags & !FlowState::TOMBSTONE;
    let (sender, other) = match direction {
        Direction::Egress => (FlowState::BY_POD, FlowState::BY_PEER),
        Direction::Ingress => (FlowState::BY_PEER, FlowState::BY_POD),
    };
    if flags & other != 0 {
        flags |= FlowState::ANSWERED;
    }
    if datagram.fin {
        flags |= if sender == FlowState::BY_POD { FlowState::FIN_BY_POD } else { FlowState::FIN_BY_PEER };
    }
    if datagram.rst {
        flags |= FlowState::FIN_BY_POD | FlowState::FIN_BY_PEER;
    }
    FlowState::new(now.wrapping_add(lifetime(flags, datagram.protocol)), flags)
}

#[inline(always)]
pub(super) const fn lifetime(flags: u64, protocol: u8) -> Ticks {
    let answered = flags & FlowState::ANSWERED != 0;
    let closed = FlowState::FIN_BY_POD | FlowState::FIN_BY_PEER;
    match protocol {
        TCP | SCTP if flags & closed == closed => CLOSING,
        TCP | SCTP if answered => ESTABLISHED,
        TCP | SCTP => OPENING,
        _ if answered => ANSWERED,
        _ => UNANSWERED,
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
