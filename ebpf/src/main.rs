//! The programs at the two tc hooks of a pod's host veth and behind the node's rewriting: maps, entry points and adapters.
//! What they decide is in `common`.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "this target has no atomic types: it has no compare-and-swap before version 3")]
#![allow(unsafe_code, reason = "the verifier checks what the compiler cannot: packet bounds and map values")]
#![allow(clippy::needless_pass_by_value, reason = "`#[classifier]` hands the context over by value")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "the helpers take addresses: what is borrowed is not copied to the stack a second time"
)]

mod after_dnat;
mod hook;
mod maps;
mod packet;
mod report;
mod shares;
mod tables;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use common::abi::{Direction, DropReason};
use common::decide::{self, Decided, Look, Seen, Verdict, judge_open};
use common::parse::{Arrival, Packet};

use maps::SEEN;
use packet::Buffer;
use tables::Maps;

/// tc ingress of the host veth: what the pod sends.
#[classifier]
#[inline(always)]
pub fn from_pod(context: TcContext) -> i32 {
    run(Direction::Egress, &context)
}

/// tc egress of the host veth: what is sent to the pod.
#[classifier]
#[inline(always)]
pub fn to_pod(context: TcContext) -> i32 {
    run(Direction::Ingress, &context)
}

/// An allowed packet is left to the programs behind this one.
#[inline(always)]
fn run(direction: Direction, context: &TcContext) -> i32 {
    // SAFETY: this CPU's own value, in a program that no other of its kind interrupts.
    let written = || SEEN.get_ptr_mut(0).map(|seen| unsafe { &mut *seen });
    let (decided, seen) = match decide::look(direction, &Buffer(context), &Maps, written) {
        Look::Held => {
            report::passed(direction, context.len());
            return TC_ACT_UNSPEC;
        }
        Look::Miscounted => {
            report::passed(direction, context.len());
            recount();
            return TC_ACT_UNSPEC;
        }
        Look::Open(seen) => (Decided::Open, seen),
        Look::Unusual => {
            let decided = look_closely(direction, context);
            let Some(seen) = SEEN.get_ptr_mut(0) else { return TC_ACT_SHOT };
            // SAFETY: as above.
            (decided, unsafe { &mut *seen })
        }
    };
    // One after the other, and not one in the other: the frames of all functions that call each other share 512 bytes.
    let Arrival { ifindex, ingress_ifindex, has_socket } = Buffer(context).arrival();
    if matches!(decided, Decided::Open) {
        judge(direction as u64 | u64::from(has_socket) << 1, ifindex, ingress_ifindex);
    }
    decide::check_brief(direction, &Buffer(context), seen);
    if seen.is_unsettled() {
        settle(direction);
    }
    if seen.outcome.undecided && matches!(direction, Direction::Egress) {
        Buffer(context).leave_undecided();
    }
    if report::report(direction, context, seen) {
        if seen.is_brief() {
            let _as_far_as_it_goes = read_closely(context);
        }
        report::send(direction as u64, context.len());
    }
    match seen.outcome.verdict {
        Verdict::Allow(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
    }
}

#[inline(always)]
fn look_closely(direction: Direction, context: &TcContext) -> Decided {
    let decided = check(direction, context, read_closely(context));
    if !matches!(decided, Decided::Sound) {
        return decided;
    }
    if SEEN.get(0).is_some_and(Seen::is_error) {
        quote(direction, context);
    }
    track(direction, context)
}

/// A function of its own for the sake of its frame, like the next ones.
#[inline(never)]
fn read_closely(context: &TcContext) -> Result<(), DropReason> {
    // SAFETY: as above.
    let seen = unsafe { &mut *SEEN.get_ptr_mut(0).ok_or(DropReason::Malformed)? };
    decide::read_closely(&Buffer(context), seen)
}

#[inline(never)]
fn check(direction: Direction, context: &TcContext, read: Result<(), DropReason>) -> Decided {
    let Some(seen) = SEEN.get_ptr_mut(0) else { return Decided::Seen };
    // SAFETY: as above.
    decide::check(direction, &Buffer(context), read, &Maps, unsafe { &mut *seen })
}

#[inline(never)]
fn quote(direction: Direction, context: &TcContext) {
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: as above.
        decide::quote(direction, &Buffer(context), &Maps, unsafe { &mut *seen });
    }
}

#[inline(never)]
fn recount() {
    if let Some(seen) = SEEN.get(0) {
        decide::recount(&Maps, seen);
    }
}

#[inline(never)]
fn settle(direction: Direction) {
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: as above.
        decide::settle(direction, &Maps, unsafe { &mut *seen });
    }
}

#[inline(never)]
fn track(direction: Direction, context: &TcContext) -> Decided {
    let Some(seen) = SEEN.get_ptr_mut(0) else { return Decided::Seen };
    // SAFETY: as above.
    decide::track(direction, &Buffer(context), &Maps, unsafe { &mut *seen })
}

/// Judges what `SEEN` holds. A global function: the verifier looks at it by itself, once. `hook`: bit 0 the
/// [`Direction`], 1 that a socket of the node holds the packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge(hook: u64, ifindex: u32, ingress_ifindex: u32) -> u64 {
    let direction = if hook & 1 == Direction::Egress as u64 { Direction::Egress } else { Direction::Ingress };
    let arrival = Arrival { ifindex, ingress_ifindex, has_socket: hook & 2 != 0 };
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: as above.
        judge_open(direction, arrival, &Maps, unsafe { &mut *seen });
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
