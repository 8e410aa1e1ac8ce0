//! TCP, UDP and SCTP ports, and what a packet says about who opened its flow.

use super::datagram::protocol;
use super::{Datagram, Fragment, Head, Packet, Role, icmp};
use crate::abi::DropReason;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const TCP_HEADER: u32 = 20;
const UDP_HEADER: u32 = 8;
/// The common header and the type of the first chunk (RFC 9260).
const SCTP_HEADER: u32 = 16;
const SCTP_CHUNK: usize = 12;
const SCTP_INIT: u8 = 1;
const SCTP_INIT_ACK: u8 = 2;

/// Bytes of the longest header that is looked at.
const LONGEST: usize = 20;

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

/// Reads a transport header whose place in the head is known when the program is compiled.
#[inline(always)]
pub(super) fn parse_at<P: Packet, const OFFSET: usize>(
    packet: &P,
    head: &Head,
    datagram: &mut Datagram,
) -> Result<(), DropReason> {
    read(packet, &head.at::<LONGEST>(OFFSET), datagram)
}

/// Reads a transport header behind options or extension headers.
#[inline(never)]
pub(super) fn parse<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let mut header = [0; LONGEST];
    if datagram.protocol == protocol::TCP {
        header = packet.load::<LONGEST>(datagram.transport).ok_or(DropReason::Malformed)?;
    } else if datagram.protocol == protocol::SCTP {
        let start = packet.load::<16>(datagram.transport).ok_or(DropReason::Malformed)?;
        header[..16].copy_from_slice(&start);
    } else if datagram.protocol == protocol::UDP || datagram.is_icmp() {
        let start = packet.load::<8>(datagram.transport).ok_or(DropReason::Malformed)?;
        header[..8].copy_from_slice(&start);
    }
    read(packet, &header, datagram)
}

#[inline(always)]
fn read<P: Packet>(packet: &P, header: &[u8; LONGEST], datagram: &mut Datagram) -> Result<(), DropReason> {
    let room = datagram.end - datagram.transport.min(datagram.end);
    match datagram.protocol {
        protocol::TCP => {
            enough(room, TCP_HEADER)?;
            ports(header, datagram);
            tcp_flags(header[13], datagram);
        }
        protocol::UDP => {
            enough(room, UDP_HEADER)?;
            ports(header, datagram);
        }
        protocol::SCTP => {
            enough(room, SCTP_HEADER)?;
            ports(header, datagram);
            datagram.role = match header[SCTP_CHUNK] {
                SCTP_INIT => Role::Opens,
                SCTP_INIT_ACK => Role::Answers,
                _ => Role::Continues,
            };
        }
        protocol::ICMP | protocol::ICMPV6 => {
            enough(room, icmp::HEADER)?;
            icmp::read(packet, header, datagram)?;
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
fn ports(header: &[u8; LONGEST], datagram: &mut Datagram) {
    datagram.source_port = u16::from_be_bytes([header[0], header[1]]);
    datagram.destination_port = u16::from_be_bytes([header[2], header[3]]);
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
