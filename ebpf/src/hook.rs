//! A packet at a netfilter hook, as far as it is read there: fields of the socket buffer, and the head of what conntrack
//! does not know.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::programs::TcContext;
use common::decide::Connection;

use crate::maps::LAYOUT;

const NFPROTO_IPV4: u8 = 2;
const ETHERNET: u32 = 14;

/// `struct bpf_nf_ctx`: two pointers, to `nf_hook_state` and `sk_buff`.
pub struct Hook(*const u64);

impl Hook {
    #[inline(always)]
    pub fn new(context: &TcContext) -> Self {
        Self(context.as_ptr().cast())
    }

    /// Bytes of the packet as a frame.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        self.skb::<u32>(LAYOUT.load().len) + ETHERNET
    }

    /// A field of the socket buffer. The verifier knows the offset, since [`LAYOUT`] cannot change, and its type.
    #[inline(always)]
    pub fn skb<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the verifier checks the access against the kernel's own types.
        unsafe { (self.0.add(1).read_volatile() as *const u8).add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    pub fn state(&self, offset: u32) -> u8 {
        // SAFETY: as above.
        unsafe { (self.0.read_volatile() as *const u8).add(offset as usize).read_volatile() }
    }
}

/// A call that a veth let pass and that conntrack was told to leave alone. False where it cannot be read.
#[inline(never)]
pub fn untracked(hook: &Hook, connection: &mut Connection) -> bool {
    let layout = LAYOUT.load();
    let (head, at): (u64, u16) = (hook.skb(layout.head), hook.skb(layout.network_header));
    let linear = hook.skb::<u32>(layout.len).wrapping_sub(hook.skb::<u32>(layout.data_len));
    let start = head + u64::from(at);
    let v4 = hook.state(layout.pf) == NFPROTO_IPV4;
    let mut header = [0u32; 10];
    let mut ports = 0u32;
    let fixed = if v4 { 20 } else { 40 };
    if linear < fixed || !read(header.as_mut_ptr().cast(), 40, start) {
        return false;
    }
    // An IPv4 header may have options in front of the ports. Up to the ports all must lie in one piece.
    let length = if v4 { (header[0] & 0xf) << 2 } else { fixed };
    if length < fixed || linear < length + 4 || !read((&raw mut ports).cast(), 4, start + u64::from(length)) {
        return false;
    }
    let (protocol, ends) = if v4 {
        ((header[2] >> 8) as u8, [[header[3], 0, 0, 0], [header[4], 0, 0, 0]])
    } else {
        let source = [header[2], header[3], header[4], header[5]];
        ((header[1] >> 16) as u8, [source, [header[6], header[7], header[8], header[9]]])
    };
    *connection = Connection::untracked(v4, protocol, ends, [ports as u16, (ports >> 16) as u16]);
    true
}

#[inline(always)]
pub fn read(into: *mut u8, length: u32, from: u64) -> bool {
    // SAFETY: the callers' lengths are those of `into`; an address that cannot be read is an error.
    unsafe { bpf_probe_read_kernel(into.cast(), length, from as *const _) == 0 }
}
