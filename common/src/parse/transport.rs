//! TCP, UDP and SCTP ports, and what a packet says about who opened its flow.

use super::datagram::protocol;
use super::{Datagram, Fragment, Packet, Role, be16, byte, icmp};
use crate::abi::DropReason;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const TCP_HEADER: u32 = 20;
const UDP_HEADER: u32 = 8;
const SCTP_HEADER: u32 = 16;
/// RFC 2236, RFC 3376, RFC 4286.
const IGMP_HEADER: u32 = 8;
const SCTP_INIT: u8 = 1;
const SCTP_INIT_ACK: u8 = 2;

/// What is looked at of the longest header, in the order of memory.
pub(super) type Header = [u32; 5];

/// The place of a packet in its datagram. `offset` is in units of 8 bytes.
#[inline(always)]
pub(super) fn fragment(offset: u16, more: bool, protocol: u8) -> Result<Fragment, DropReason> {
    match (offset, more) {
        (0, false) => Ok(Fragment::Whole),
        (0, true) => Ok(Fragment::First),
        // Would write over the header that was judged (RFC 1858, RFC 3128).
        (1..=2, _) if protocol == protocol::TCP => Err(DropReason::Malformed),
        (1, _) if protocol == protocol::SCTP => Err(DropReason::Malformed),
        _ => Ok(Fragment::Later),
    }
}

/// Reads a transport header whose place is known when the program is compiled.
#[inline(always)]
pub(super) fn parse_at<P: Packet, const OFFSET: usize>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let header = match words_of(datagram.protocol) {
        5 => packet.words::<OFFSET, 5>(),
        4 => packet.words::<OFFSET, 4>().map(|[a, b, c, d]| [a, b, c, d, 0]),
        2 => packet.words::<OFFSET, 2>().map(|[a, b]| [a, b, 0, 0, 0]),
        _ => Some([0; 5]),
    };
    read(&header.ok_or(DropReason::Malformed)?, datagram)
}

/// The datagram with its transport header, if that is TCP's or UDP's.
#[inline(always)]
pub(super) fn plain_at<P: Packet, const OFFSET: usize>(packet: &P, mut datagram: Datagram) -> Option<Datagram> {
    let header = match datagram.protocol {
        protocol::TCP => packet.near::<OFFSET, 5>()?,
        protocol::UDP => packet.near::<OFFSET, 2>().map(|[a, b]| [a, b, 0, 0, 0])?,
        _ => return None,
    };
    read(&header, &mut datagram).ok()?;
    Some(datagram)
}

/// Words of a protocol's header that are looked at.
#[inline(always)]
const fn words_of(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => 5,
        // The common header and the type of the first chunk (RFC 9260).
        protocol::SCTP => 4,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 | protocol::IGMP => 2,
        _ => 0,
    }
}

/// Reads a transport header behind options or extension headers.
#[inline(never)]
pub(super) fn parse<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let mut header = [0; 5];
    for (place, word) in header.iter_mut().enumerate().take(words_of(datagram.protocol)) {
        let offset = datagram.transport + 4 * place as u32;
        *word = u32::from_ne_bytes(packet.load(offset).ok_or(DropReason::Malformed)?);
    }
    read(&header, datagram)
}

#[inline(always)]
fn read(header: &Header, datagram: &mut Datagram) -> Result<(), DropReason> {
    let room = datagram.end - datagram.transport.min(datagram.end);
    match datagram.protocol {
        protocol::TCP => {
            enough(room, TCP_HEADER)?;
            ports(header, datagram);
            tcp_flags(byte(header[3], 1), datagram);
        }
        protocol::UDP => {
            enough(room, UDP_HEADER)?;
            ports(header, datagram);
        }
        protocol::SCTP => {
            enough(room, SCTP_HEADER)?;
            ports(header, datagram);
            datagram.role = match byte(header[3], 0) {
                SCTP_INIT => Role::Opens,
                SCTP_INIT_ACK => Role::Answers,
                _ => Role::Continues,
            };
        }
        protocol::ICMP | protocol::ICMPV6 => {
            enough(room, icmp::HEADER)?;
            icmp::read(header, datagram);
        }
        protocol::IGMP => {
            enough(room, IGMP_HEADER)?;
            datagram.icmp_type = byte(header[0], 0);
        }
        _ => {}
    }
    Ok(())
}

#[inline(always)]
fn enough(room: u32, header: u32) -> Result<(), DropReason> {
    if room < header { Err(DropReason::Malformed) } else { Ok(()) }
}

#[inline(always)]
fn ports(header: &Header, datagram: &mut Datagram) {
    (datagram.source_port, datagram.destination_port) = be16(header[0]);
}

#[inline(always)]
fn tcp_flags(flags: u8, datagram: &mut Datagram) {
    datagram.fin = flags & FIN != 0;
    datagram.rst = flags & RST != 0;
    datagram.role = match (flags & SYN != 0, flags & ACK != 0) {
        (true, false) => Role::Opens,
        (true, true) => Role::Answers,
        (false, _) => Role::Continues,
    };
}
