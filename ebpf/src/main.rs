//! The programs at the two tc hooks of a pod's host veth and behind the node's rewriting: maps, entry points and adapters.
//! What they decide is in `common`.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the verifier checks what the compiler cannot: packet bounds and map values")]
#![allow(clippy::needless_pass_by_value, reason = "`#[classifier]` hands the context over by value")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "the helpers take addresses: what is borrowed is not copied to the stack a second time"
)]

mod after_dnat;
mod maps;
mod packet;
mod report;
mod tables;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use common::abi::Direction;
use common::decide::{Decided, Verdict, decide};

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
    let Some(seen) = SEEN.get_ptr_mut(0) else { return TC_ACT_SHOT };
    // SAFETY: this CPU's own value, in a program that no other of its kind interrupts.
    let seen = unsafe { &mut *seen };
    if let Decided::Held = decide(direction, &Buffer(context), &Maps, seen) {
        report::passed(direction, context.len());
        return TC_ACT_UNSPEC;
    }
    report::report(direction, context, seen);
    match seen.outcome.verdict {
        Verdict::Allow(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
