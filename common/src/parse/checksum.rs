//! Checksums that are still to be made when a packet is judged. A sender may have the kernel, or a device, write two bytes
//! anywhere in its packet (`PACKET_VNET_HDR`, `skb_checksum_help`, Linux 6.18): over a port, or over an address.

use super::{Datagram, Fragment, Packet, protocol};

/// Places of the checksum in a transport header, and the header's length: what policy reads lies before its end. An ICMP
/// message is read beyond its header.
#[inline(always)]
const fn header_of(protocol: u8) -> (u32, u32) {
    match protocol {
        protocol::TCP => (16, 20),
        protocol::UDP => (6, 8),
        protocol::SCTP => (8, 12),
        protocol::ICMP | protocol::ICMPV6 => (2, u16::MAX as u32),
        _ => (u32::MAX, 0),
    }
}

/// Whether a checksum is to be written over what has been read of an IP packet. It may go into the checksum's own place,
/// or behind the headers, as that of a packet that the packet carries.
#[inline(always)]
pub fn is_written_over<P: Packet>(packet: &P, datagram: &Datagram) -> bool {
    let (own, length) = match datagram.fragment {
        Fragment::Later => (u32::MAX, 0),
        Fragment::Whole | Fragment::First => header_of(datagram.protocol),
    };
    match packet.checksum_place() {
        Some(place) => place != datagram.transport.wrapping_add(own) && place < datagram.transport + length,
        None => false,
    }
}
