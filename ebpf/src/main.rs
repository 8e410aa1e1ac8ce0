//! The programs at the two tc hooks of a pod's host veth.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the verifier checks what the compiler cannot: packet bounds and map values")]

mod maps;

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};

/// tc ingress of the host veth: what the pod sends.
#[classifier]
pub fn from_pod(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// tc egress of the host veth: what is sent to the pod.
#[classifier]
pub fn to_pod(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
