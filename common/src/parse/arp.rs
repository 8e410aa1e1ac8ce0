//! ARP for IPv4 over Ethernet (RFC 826).

use super::{ETHERNET, Head};
use crate::abi::DropReason;

const LENGTH: u32 = 28;
/// Hardware type 1, protocol 0x0800, address lengths 6 and 4.
const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 8, 0, 6, 4];

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
        if length < ETHERNET + LENGTH || head.at::<6>(14) != IPV4_OVER_ETHERNET {
            return Err(DropReason::Malformed);
        }
        Ok(Self { sender_mac: head.at(22), sender_ip: head.at(28) })
    }
}
