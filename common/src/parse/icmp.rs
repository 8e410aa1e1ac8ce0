//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, errors and the packet that an error quotes.

use super::datagram::protocol;
use super::transport::Header;
use super::{Datagram, Packet, Role, be16, byte, ipv6};
use crate::abi::Address;

pub(super) const HEADER: u32 = 8;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
const MLD_FIRST: u8 = 130;
const ND_LAST: u8 = 137;
const MLD2_REPORT: u8 = 143;

#[inline(always)]
pub(super) fn read(header: &Header, datagram: &mut Datagram) {
    let kind = byte(header[0], 0);
    datagram.icmp_type = kind;
    datagram.role = if datagram.source.is_v4() != (datagram.protocol == protocol::ICMP) {
        // ICMP in IPv6 or the reverse: no host answers it, and none of its types mean anything.
        Role::Stateless
    } else if datagram.protocol == protocol::ICMP {
        match kind {
            ECHO_REQUEST => Role::Opens,
            ECHO_REPLY => Role::Answers,
            UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => Role::Error,
            _ => Role::Stateless,
        }
    } else {
        match kind {
            // Those too that have no meaning yet: hosts hand them to the sockets that they quote (RFC 4443 §2.4).
            0..V6_ECHO_REQUEST => Role::Error,
            V6_ECHO_REQUEST => Role::Opens,
            V6_ECHO_REPLY => Role::Answers,
            MLD_FIRST..=ND_LAST | MLD2_REPORT => Role::Neighbour,
            _ => Role::Stateless,
        }
    };
    if matches!(datagram.role, Role::Opens | Role::Answers) {
        (datagram.source_port, _) = be16(header[1]);
        datagram.destination_port = u16::from(matches!(datagram.role, Role::Opens));
    }
}

/// The flow of the packet that an ICMP error quotes, as that packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub source: Address,
    pub destination: Address,
    pub protocol: u8,
    /// As in [`Datagram`], for ICMP echo too.
    pub source_port: u16,
    pub destination_port: u16,
}

impl Quoted {
    pub const NOTHING: Self = Self {
        source: Address { words: [0; 4] },
        destination: Address { words: [0; 4] },
        protocol: 0,
        source_port: 0,
        destination_port: 0,
    };
}

/// Reads what an ICMP error quotes. `None` where it quotes too little to name a flow: a later fragment, or a
/// packet behind extension headers.
///
/// Into memory of the caller's: what the programs have of it is scarce.
#[inline(never)]
pub fn quoted<P: Packet>(packet: &P, datagram: &Datagram, quoted: &mut Quoted) -> Option<()> {
    let Quote { transport, is_later } = ends(packet, datagram, quoted)?;
    if is_later || transport + 8 > datagram.end {
        return None;
    }
    let header: [u8; 8] = packet.load(transport)?;
    match quoted.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            quoted.source_port = u16::from_be_bytes([header[0], header[1]]);
            quoted.destination_port = u16::from_be_bytes([header[2], header[3]]);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let request = if quoted.protocol == protocol::ICMP { ECHO_REQUEST } else { V6_ECHO_REQUEST };
            quoted.source_port = u16::from_be_bytes([header[4], header[5]]);
            quoted.destination_port = u16::from(header[0] == request);
        }
        _ => {}
    }
    Some(())
}

/// Reads between whom the packet went that an ICMP error quotes, whatever it was. `None` where no IP header is quoted.
#[inline(never)]
pub fn quoted_ends<P: Packet>(packet: &P, datagram: &Datagram, quoted: &mut Quoted) -> Option<()> {
    ends(packet, datagram, quoted).map(|_| ())
}

/// The shape of a quoted packet.
struct Quote {
    /// Offset of its transport header.
    transport: u32,
    /// It is a later fragment, which has no transport header.
    is_later: bool,
}

#[inline(always)]
fn ends<P: Packet>(packet: &P, datagram: &Datagram, quoted: &mut Quoted) -> Option<Quote> {
    let start = datagram.transport + HEADER;
    if datagram.source.is_v4() {
        if start + 20 > datagram.end { None } else { v4(packet, start, quoted) }
    } else if start + ipv6::HEADER > datagram.end {
        None
    } else {
        v6(packet, start, quoted)
    }
}

/// Reads an IPv4 header.
#[inline(always)]
fn v4<P: Packet>(packet: &P, start: u32, quoted: &mut Quoted) -> Option<Quote> {
    let inner: [u8; 20] = packet.load(start)?;
    let header = u32::from(inner[0] & 0xf) * 4;
    let fragment_offset = u16::from_be_bytes([inner[6], inner[7]]) & 0x1fff;
    if inner[0] >> 4 != 4 || header < 20 {
        return None;
    }
    quoted.source = Address::v4([inner[12], inner[13], inner[14], inner[15]]);
    quoted.destination = Address::v4([inner[16], inner[17], inner[18], inner[19]]);
    quoted.protocol = inner[9];
    Some(Quote { transport: start + header, is_later: fragment_offset != 0 })
}

/// The same for IPv6.
#[inline(always)]
fn v6<P: Packet>(packet: &P, start: u32, quoted: &mut Quoted) -> Option<Quote> {
    let [version, _, _, _, _, _, next, _]: [u8; 8] = packet.load(start)?;
    if version >> 4 != 6 {
        return None;
    }
    quoted.source = Address::v6(packet.load(start + 8)?);
    quoted.destination = Address::v6(packet.load(start + 24)?);
    quoted.protocol = next;
    // It would be taken for the IPv4 packet that it is not.
    if quoted.source.embeds_v4() || quoted.destination.embeds_v4() {
        return None;
    }
    Some(Quote { transport: start + ipv6::HEADER, is_later: false })
}
