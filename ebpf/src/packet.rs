//! A socket buffer as a [`Packet`].

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skb_load_bytes};
use aya_ebpf::programs::TcContext;
use common::parse::{Arrival, Packet};

use crate::after_dnat::UNDECIDED;
use crate::maps::CHECKSUM;

pub struct Buffer<'a>(pub &'a TcContext);

impl Buffer<'_> {
    /// The address of the byte at an offset, where so many bytes from there lie in one piece.
    #[inline(always)]
    fn linear(&self, offset: usize, length: usize) -> Option<usize> {
        let (data, end) = (self.0.data(), self.0.data_end());
        if data + offset + length > end { None } else { Some(data + offset) }
    }
}

impl Packet for Buffer<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.0.len()
    }

    #[inline(always)]
    fn near_halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]> {
        // SAFETY: within the packet, to which the verifier holds it. Where the kernel does not align headers, loads need
        // not be aligned.
        self.linear(OFFSET, N * 2).map(|start| unsafe { *(start as *const [u16; N]) })
    }

    #[inline(always)]
    fn near<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]> {
        // SAFETY: as above.
        self.linear(OFFSET, N * 4).map(|start| unsafe { *(start as *const [u32; N]) })
    }

    #[inline(always)]
    fn halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]> {
        self.near_halves::<OFFSET, N>().or_else(|| {
            let mut halves = [0; N];
            if load(self.0, OFFSET as u32, halves.as_mut_ptr().cast(), N as u32 * 2) { Some(halves) } else { None }
        })
    }

    #[inline(always)]
    fn words<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]> {
        self.near::<OFFSET, N>().or_else(|| {
            let mut words = [0; N];
            if load(self.0, OFFSET as u32, words.as_mut_ptr().cast(), N as u32 * 4) { Some(words) } else { None }
        })
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        if load(self.0, offset, bytes.as_mut_ptr(), N as u32) { Some(bytes) } else { None }
    }

    #[inline(always)]
    fn has_vlan_tag(&self) -> bool {
        // SAFETY: the verifier checks every access to the context.
        unsafe { (*self.0.skb.skb).vlan_present != 0 }
    }

    #[inline(always)]
    fn arrival(&self) -> Arrival {
        // SAFETY: as above. The pointer to the socket is compared and not followed.
        unsafe {
            let skb = &*self.0.skb.skb;
            let has_socket = !skb.__bindgen_anon_2.sk.is_null();
            Arrival { ifindex: skb.ifindex, ingress_ifindex: skb.ingress_ifindex, has_socket }
        }
    }

    #[inline(always)]
    fn checksum_place(&self) -> Option<u32> {
        if CHECKSUM.load().is_known == 0 { None } else { checksum_place(self.0) }
    }

    #[inline(always)]
    fn leave_undecided(&self) {
        // SAFETY: as above.
        unsafe { (*self.0.skb.skb).tc_index = UNDECIDED }
    }
}

/// Copies `length` bytes, which must fit `into`; false where the frame ends before. The frame need not lie in
/// one piece.
#[inline(always)]
fn load(context: &TcContext, offset: u32, into: *mut u8, length: u32) -> bool {
    // SAFETY: the callers' lengths are at most that of `into`; the verifier holds them to it.
    unsafe { bpf_skb_load_bytes(context.as_ptr(), offset, into.cast(), length) == 0 }
}

/// A function of its own for the sake of the stack.
#[inline(never)]
fn checksum_place(context: &TcContext) -> Option<u32> {
    const CHECKSUM_PARTIAL: u8 = 3;
    let layout = CHECKSUM.load();
    if field::<u8>(context, layout.ip_summed) >> layout.shift & 3 != CHECKSUM_PARTIAL {
        return None;
    }
    let [start, offset, mac] =
        [layout.csum_start, layout.csum_offset, layout.mac_header].map(|at| field::<u16>(context, at));
    Some((u32::from(start) + u32::from(offset)).wrapping_sub(u32::from(mac)))
}

/// A field of the kernel's socket buffer, which the context of a classifier is (`bpf_prog_run`, Linux 6.18). Zero where it
/// cannot be read.
#[inline(always)]
fn field<T: Default>(context: &TcContext, offset: u32) -> T {
    let mut value = T::default();
    // SAFETY: the length is that of the value.
    unsafe {
        let at = context.as_ptr().cast::<u8>().add(offset as usize);
        bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, at.cast());
    }
    value
}
