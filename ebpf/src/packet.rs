//! A socket buffer as a [`Packet`].

use aya_ebpf::{EbpfContext, helpers::generated::bpf_skb_load_bytes, programs::TcContext};
use common::parse::{ETHERNET, HEAD, Head, Packet};

pub struct Buffer<'a> {
    context: &'a TcContext,
    head: &'a Head,
}

impl<'a> Buffer<'a> {
    /// Fetches the first bytes of the frame into `head`.
    #[inline(always)]
    pub fn new(context: &'a TcContext, head: &'a mut Head) -> Self {
        let length = context.len();
        // Two calls, because the verifier wants to see that the length fits. Linux 6.1's learns nothing from
        // `length != 0`, so it is compared with the least that the parser looks at.
        if length >= HEAD as u32 {
            load(context, 0, head.frame(), HEAD as u32);
        } else if length >= ETHERNET {
            load(context, 0, head.frame(), length);
        }
        Self { context, head }
    }
}

impl Packet for Buffer<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.context.len()
    }

    #[inline(always)]
    fn head(&self) -> &Head {
        self.head
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        if load(self.context, offset, bytes.as_mut_ptr(), N as u32) { Some(bytes) } else { None }
    }

    #[inline(always)]
    fn has_vlan_tag(&self) -> bool {
        // SAFETY: the verifier checks every access to the context.
        unsafe { (*self.context.skb.skb).vlan_present != 0 }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.context.skb.skb).ifindex }
    }

    #[inline(always)]
    fn ingress_ifindex(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.context.skb.skb).ingress_ifindex }
    }
}

/// Copies `length` bytes, which must fit `into`; false where the frame ends before. The frame need not lie in
/// one piece.
#[inline(always)]
fn load(context: &TcContext, offset: u32, into: *mut u8, length: u32) -> bool {
    // SAFETY: the callers' lengths are at most that of `into`; the verifier holds them to it.
    unsafe { bpf_skb_load_bytes(context.as_ptr(), offset, into.cast(), length) == 0 }
}
