//! ARP for IPv4 over Ethernet (RFC 826).

use super::Packet;
use crate::abi::DropReason;

/// Hardware type 1, protocol 0x0800, address lengths 6 and 4.
const IPV4_OVER_ETHERNET: [u16; 3] = [1, 0x0800, 0x0604];

/// Who an ARP packet claims to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Arp {
    pub sender_mac: [u8; 6],
    /// 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: [u8; 4],
}

impl Arp {
    #[inline(always)]
    pub(super) fn parse<P: Packet>(packet: &P) -> Result<Self, DropReason> {
        let Some([hardware, protocol, lengths, _, a, b, c, ip_high, ip_low, ..]) = packet.halves::<14, 14>() else {
            return Err(DropReason::Malformed);
        };
        if [hardware, protocol, lengths].map(u16::from_be) != IPV4_OVER_ETHERNET {
            return Err(DropReason::Malformed);
        }
        let ([a, b], [c, d], [e, f]) = (a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes());
        let ([i, j], [k, l]) = (ip_high.to_ne_bytes(), ip_low.to_ne_bytes());
        Ok(Self { sender_mac: [a, b, c, d, e, f], sender_ip: [i, j, k, l] })
    }
}
