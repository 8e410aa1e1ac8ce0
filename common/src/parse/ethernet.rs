//! The Ethernet header, and which parser comes next.

use super::{Arp, Datagram, Packet, ipv4, ipv6};
use crate::abi::{DropReason, Mac};

pub const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Frame {
    pub source_mac: Mac,
    pub destination_mac: Mac,
    /// Host byte order; 0 until the frame is known to have one.
    pub ether_type: u16,
    /// Who an ARP packet claims to come from. The datagram is empty then.
    pub arp: Arp,
}

impl Frame {
    pub const EMPTY: Self = Self {
        source_mac: Mac::NONE,
        destination_mac: Mac::NONE,
        ether_type: 0,
        arp: Arp { sender_mac: [0; 6], sender_ip: [0; 4], target_ip: [0; 4] },
    };

    #[inline(always)]
    const fn of(macs: [u32; 3], [ether_type]: [u16; 1]) -> Self {
        let (destination_mac, source_mac) = Mac::of_frame(macs);
        Self { source_mac, destination_mac, ether_type: u16::from_be(ether_type), arp: Self::EMPTY.arp }
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_arp(&self) -> bool {
        self.ether_type == ETHERTYPE_ARP
    }

    /// A frame for a group of receivers, or for all.
    #[must_use]
    #[inline(always)]
    pub const fn is_group(&self) -> bool {
        self.destination_mac.is_group()
    }
}

/// Reads a frame into `frame` and `datagram`, which hold as much as could be read where it fails.
///
/// # Errors
/// `Malformed` for what contradicts itself or ends too early, `UnsupportedProtocol` for what is neither ARP
/// nor IP, VLAN tags included (tag 0 too).
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, frame: &mut Frame, datagram: &mut Datagram) -> Result<(), DropReason> {
    let (Some(macs), Some(ether_type)) = (packet.words::<0, 3>(), packet.halves::<12, 1>()) else {
        return Err(DropReason::Malformed);
    };
    *frame = Frame::of(macs, ether_type);
    if packet.has_vlan_tag() {
        return Err(DropReason::UnsupportedProtocol);
    }
    match frame.ether_type {
        ETHERTYPE_IPV4 => ipv4::parse(packet, datagram),
        ETHERTYPE_IPV6 => ipv6::parse(packet, datagram),
        ETHERTYPE_ARP => {
            frame.arp = Arp::parse(packet)?;
            Ok(())
        }
        _ => Err(DropReason::UnsupportedProtocol),
    }
}

/// The frame of what may be a plain packet: TCP or UDP, whole, right behind an IPv4 header without options or an IPv6
/// header, all of them in one piece. With [`plain_v4`](super::plain_v4) or [`plain_v6`](super::plain_v6) this is all that
/// [`parse`] would read of it; `None` is no verdict.
///
/// By value, for the compiler to keep in registers what nobody writes down.
#[inline(always)]
pub fn plain_frame<P: Packet>(packet: &P) -> Option<Frame> {
    let frame = Frame::of(packet.near::<0, 3>()?, packet.near_halves::<12, 1>()?);
    if packet.has_vlan_tag() || !matches!(frame.ether_type, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) {
        None
    } else {
        Some(frame)
    }
}
