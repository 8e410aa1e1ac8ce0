//! ARP for IPv4 over Ethernet (RFC 826).

use super::{ETHERNET, Packet};
use crate::abi::DropReason;

/// Hardware type 1, protocol 0x0800, address lengths 6 and 4.
const IPV4_OVER_ETHERNET: [u16; 3] = [1, 0x0800, 0x0604];

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// End of an ARP packet, from the start of its frame.
const END: u32 = ETHERNET + 28;
/// Of Ethernet, without the checksum.
const SHORTEST_FRAME: u32 = 60;

/// Who an ARP packet claims to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Arp {
    pub sender_mac: [u8; 6],
    /// 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: [u8; 4],
    /// The address that is asked for, or the one that is answered.
    pub target_ip: [u8; 4],
}

impl Arp {
    #[inline(always)]
    pub(super) fn parse<P: Packet>(packet: &P) -> Result<Self, DropReason> {
        let Some([hardware, protocol, lengths, operation, a, b, c, ip_high, ip_low, _, _, _, target_high, target_low]) =
            packet.halves::<14, 14>()
        else {
            return Err(DropReason::Malformed);
        };
        let is_known = operation == u16::from_be(REQUEST) || operation == u16::from_be(REPLY);
        if [hardware, protocol, lengths].map(u16::from_be) != IPV4_OVER_ETHERNET || !is_known {
            return Err(DropReason::Malformed);
        }
        let ([a, b], [c, d], [e, f]) = (a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes());
        let ([i, j], [k, l]) = (ip_high.to_ne_bytes(), ip_low.to_ne_bytes());
        let ([m, n], [o, p]) = (target_high.to_ne_bytes(), target_low.to_ne_bytes());
        Ok(Self { sender_mac: [a, b, c, d, e, f], sender_ip: [i, j, k, l], target_ip: [m, n, o, p] })
    }
}

/// True where a frame with an ARP packet carries that, perhaps zeros up to the shortest Ethernet frame, and no more.
#[inline(never)]
pub fn is_bare_arp<P: Packet>(packet: &P) -> bool {
    let length = packet.length();
    if length > SHORTEST_FRAME {
        return false;
    }
    for offset in END..SHORTEST_FRAME {
        if offset >= length {
            return true;
        }
        let Some([padding]) = packet.load::<1>(offset) else { return false };
        if padding != 0 {
            return false;
        }
    }
    true
}
