//! Flows that the node rewrites, by their true ends, and where the kernel keeps them.

use super::Address;

/// Key of the `NAT_FLOW` map: a flow between its true ends, as they are behind all rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct NatKey {
    /// The end that opened the flow.
    pub source: Address,
    /// The end that answers.
    pub destination: Address,
    /// bits 0–15 the source's port, 16–31 the destination's, host byte order. ICMP echo: the identifier, and 0.
    ports: u32,
    protocol: u32,
}

super::layout!(NatKey, 40;
    source @ 0 => Address, destination @ 16 => Address, ports @ 32 => u32, protocol @ 36 => u32);

impl NatKey {
    #[must_use]
    #[inline(always)]
    pub const fn new(
        protocol: u8,
        (source, source_port): (Address, u16),
        (destination, destination_port): (Address, u16),
    ) -> Self {
        let ports = source_port as u32 | (destination_port as u32) << 16;
        Self { source, destination, ports, protocol: protocol as u32 }
    }

    #[must_use]
    #[inline(always)]
    pub const fn source_port(&self) -> u16 {
        self.ports as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn destination_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol as u8
    }
}

/// Byte offsets in the kernel's structures, which its BTF tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KernelLayout {
    /// `sk_buff`: `_nfct`, `tc_index`, `skb_iif`, `len`, `data_len`, `head`, `network_header`.
    pub nfct: u32,
    pub tc_index: u32,
    pub skb_iif: u32,
    pub len: u32,
    pub data_len: u32,
    pub head: u32,
    pub network_header: u32,
    /// `nf_conn`: the tuple of the original direction, where [`Connection`](crate::decide::Connection) begins.
    pub tuples: u32,
    /// `nf_conn`: `status`.
    pub status: u32,
    /// `nf_hook_state`: `hook`, `pf`.
    pub hook: u32,
    pub pf: u32,
}

super::layout!(KernelLayout, 44;
    nfct @ 0 => u32, tc_index @ 4 => u32, skb_iif @ 8 => u32, len @ 12 => u32, data_len @ 16 => u32, head @ 20 => u32,
    network_header @ 24 => u32, tuples @ 28 => u32, status @ 32 => u32, hook @ 36 => u32, pf @ 40 => u32);
