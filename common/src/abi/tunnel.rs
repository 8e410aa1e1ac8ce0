//! UDP ports at which nodes open tunnel packets: a bit for each port, in words of 64.

/// The ports that are closed whatever devices a node has: VXLAN (4789, and 8472 from before it had a number), Geneve, and
/// flannel's backend `udp`, which is no device of a kind.
pub const TUNNEL_PORTS: [u16; 4] = [4789, 6081, 8285, 8472];

/// Words of the map `TUNNEL`.
pub const TUNNEL_WORDS: u32 = 1 << 10;

/// The word that a port has its bit in, and the bit.
#[must_use]
#[inline(always)]
pub const fn tunnel_bit(port: u16) -> (u32, u64) {
    ((port >> 6) as u32, 1 << (port & 63))
}
