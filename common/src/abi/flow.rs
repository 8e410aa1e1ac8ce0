//! Connection tracking and fragments.

use core::cell::Cell;

use super::{Address, Ticks};

/// A flow as one endpoint sees it: both directions at one veth share it, no two veths do.
///
/// Made of words, as the kernel hashes it: a word whose bytes were written one by one is slow to read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    pub endpoint: u32,
    /// bits 0–15 the local port, 16–31 the remote one.
    ports: u32,
    pub remote: Address,
    /// bits 0–7 protocol, 8–15 index of the local address.
    kind: u32,
}

super::layout!(FlowKey, 28; endpoint @ 0 => u32, ports @ 4 => u32, remote @ 8 => Address, kind @ 24 => u32);

impl FlowKey {
    /// No flow.
    pub const EMPTY: Self = Self { endpoint: 0, ports: 0, remote: Address { words: [0; 4] }, kind: 0 };

    /// Ports in host byte order, as are all here. For ICMP echo the local one is the identifier, the remote one 1
    /// where the local end asks and 0 where it is asked. `local` is the index of the local address: 0 IPv4, 1 IPv6,
    /// 2 IPv6 link-local.
    #[must_use]
    #[inline(always)]
    pub const fn new(
        endpoint: u32,
        protocol: u8,
        (local, local_port): (u8, u16),
        (remote, remote_port): (Address, u16),
    ) -> Self {
        let ports = local_port as u32 | (remote_port as u32) << 16;
        Self { endpoint, ports, remote, kind: protocol as u32 | (local as u32) << 8 }
    }

    #[must_use]
    #[inline(always)]
    pub const fn local_port(&self) -> u16 {
        self.ports as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn remote_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.kind as u8
    }
}

/// An allowed flow, or the tombstone of one that was cut.
///
/// The words are cells because a map's values are changed in place, by whichever CPU has a packet of the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowEntry {
    /// The epoch that the flow was last judged in.
    pub epoch: Cell<u64>,
    /// A [`FlowState`].
    pub state: Cell<u64>,
}

const _: () = assert!(core::mem::size_of::<FlowEntry>() == 16);

impl FlowEntry {
    /// Makes it a flow that was judged in this epoch. The epoch comes last: nothing of what was there holds under it.
    #[inline(always)]
    pub fn renew(&self, epoch: u64, state: FlowState) {
        self.state.set(state.0);
        self.epoch.set(epoch);
    }
}

/// The state word of a flow: bits 0–31 expiry in [`Ticks`], 32 and up flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct FlowState(pub u64);

impl FlowState {
    /// The pod opened the flow.
    pub const BY_POD: u64 = 1 << 32;
    /// The other end did. Both are set where nobody can tell: then both directions must allow.
    pub const BY_PEER: u64 = 1 << 33;
    /// Cut: judged at every packet until policy allows again, a SYN comes, or it expires.
    pub const TOMBSTONE: u64 = 1 << 34;
    /// The side that did not open it has answered.
    pub const ANSWERED: u64 = 1 << 35;
    /// A FIN from the pod, from the other end.
    pub const FIN_BY_POD: u64 = 1 << 36;
    pub const FIN_BY_PEER: u64 = 1 << 37;
    /// Opened by the pod's own node, which an address alone does not prove.
    pub const BY_NODE: u64 = 1 << 38;
    /// Judged where the node has rewritten it, at each packet: here it passes whatever the epoch is.
    pub const AFTER_DNAT: u64 = 1 << 39;
    /// Allowed in its endpoint's adoption window by its opener's direction alone: each packet is judged again, after the
    /// window in both directions, and then the flow is like any other or cut.
    pub const ADOPTED: u64 = 1 << 40;
    /// Counted among its endpoint's established flows; any other has a place in the ring.
    pub const COUNTED: u64 = 1 << 41;
    /// A RST, and since then no packet without one.
    pub const RESET: u64 = 1 << 42;
    /// Of datagrams: answered for longer than a question and its answer take.
    pub const STREAM: u64 = 1 << 43;

    #[must_use]
    #[inline(always)]
    pub const fn new(expires: Ticks, flags: u64) -> Self {
        Self(expires as u64 | flags)
    }

    #[must_use]
    #[inline(always)]
    pub const fn expires(self) -> Ticks {
        self.0 as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn flags(self) -> u64 {
        self.0 & !0xffff_ffff
    }

    #[must_use]
    #[inline(always)]
    pub const fn is(self, flag: u64) -> bool {
        self.0 & flag != 0
    }
}

/// A datagram whose first fragment was seen at an endpoint, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FragmentKey {
    pub endpoint: u32,
    /// The identification field (16 bits in IPv4, 32 in IPv6), host byte order.
    pub id: u32,
    pub remote: Address,
    pub protocol: u8,
    /// [`super::Direction`] as a number.
    pub direction: u8,
    /// Index of the local address, as in [`FlowKey`].
    pub local: u8,
    pub _zero: u8,
}

super::layout!(FragmentKey, 28;
    endpoint @ 0 => u32, id @ 4 => u32, remote @ 8 => Address, protocol @ 24 => u8, direction @ 25 => u8,
    local @ 26 => u8, _zero @ 27 => u8);

/// What the later fragments need from the first one, as one word:
/// bits 0–31 expiry in [`Ticks`], 32–47 source port, 48–63 destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct FragmentPorts(pub u64);

impl FragmentPorts {
    #[must_use]
    #[inline(always)]
    pub const fn new(expires: Ticks, source: u16, destination: u16) -> Self {
        Self(expires as u64 | (source as u64) << 32 | (destination as u64) << 48)
    }

    #[must_use]
    #[inline(always)]
    pub const fn expires(self) -> Ticks {
        self.0 as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn source(self) -> u16 {
        (self.0 >> 32) as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn destination(self) -> u16 {
        (self.0 >> 48) as u16
    }
}
