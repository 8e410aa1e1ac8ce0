//! IPv4 (RFC 791), options honoured for the length that they have.
//!
//! A source route is not looked for: whoever follows one sends on what carries another's source address, and
//! that is dropped at its own veth; nodes do not follow any (`accept_source_route`).

use super::{Datagram, ETHERNET, Fragment, Packet, be16, byte, transport};
use crate::abi::{Address, DropReason};

const MINIMUM: u32 = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(super) fn parse<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let words = packet.words::<14, 5>().ok_or(DropReason::Malformed)?;
    let header = read(words, packet.length(), datagram)?;
    if matches!(datagram.fragment, Fragment::Later) {
        return Ok(());
    }
    if header == MINIMUM { transport::parse_at::<P, 34>(packet, datagram) } else { transport::parse(packet, datagram) }
}

/// The packet, if it is plain ([`super::plain_frame`]).
#[inline(always)]
pub fn plain<P: Packet>(packet: &P) -> Option<Datagram> {
    let mut datagram = Datagram::EMPTY;
    let header = read(packet.near::<14, 5>()?, packet.length(), &mut datagram).ok()?;
    if header != MINIMUM || !matches!(datagram.fragment, Fragment::Whole) {
        return None;
    }
    transport::plain_at::<P, 34>(packet, datagram)
}

/// Reads the header in a frame of this length, and returns its own.
#[inline(always)]
fn read(words: [u32; 5], frame: u32, datagram: &mut Datagram) -> Result<u32, DropReason> {
    let [start, fragmentation, ttl_protocol, source, destination] = words;
    let version_ihl = byte(start, 0);
    let header = u32::from(version_ihl & 0xf) * 4;
    let total = u32::from(be16(start).1);
    datagram.source = Address::v4_word(source);
    datagram.destination = Address::v4_word(destination);
    datagram.hop_limit = byte(ttl_protocol, 0);
    datagram.protocol = byte(ttl_protocol, 1);
    if version_ihl >> 4 != 4 || header < MINIMUM || total < header || ETHERNET + total > frame {
        return Err(DropReason::Malformed);
    }
    datagram.transport = ETHERNET + header;
    datagram.end = ETHERNET + total;
    let (id, fragment) = be16(fragmentation);
    datagram.fragment_id = u32::from(id);
    datagram.fragment = transport::fragment(fragment & OFFSET, fragment & MORE_FRAGMENTS != 0, datagram.protocol)?;
    Ok(header)
}
