//! ARP for IPv4 over Ethernet (RFC 826).

use super::{ETHERNET, Head};
use crate::abi::DropReason;

const LENGTH: u32 = 28;
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
    pub(super) fn parse(length: u32, head: &Head) -> Result<Self, DropReason> {
        let format = [head.be16::<14>(), head.be16::<16>(), head.be16::<18>()];
        if length < ETHERNET + LENGTH || format != IPV4_OVER_ETHERNET {
            return Err(DropReason::Malformed);
        }
        Ok(Self { sender_mac: head.mac::<22>(), sender_ip: head.octets::<28>() })
    }
}
