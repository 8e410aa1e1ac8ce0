//! IPv4 (RFC 791), options honoured for the length that they have.
//!
//! A source route is not looked for: whoever follows one sends on what carries another's source address, and
//! that is dropped at its own veth; nodes do not follow any (`accept_source_route`).

use super::{Datagram, ETHERNET, Fragment, Head, Packet, transport};
use crate::abi::{Address, DropReason};

const MINIMUM: u32 = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(super) fn parse<P: Packet>(packet: &P, head: &Head, datagram: &mut Datagram) -> Result<(), DropReason> {
    let length = packet.length();
    if length < ETHERNET + MINIMUM {
        return Err(DropReason::Malformed);
    }
    let version_ihl = head.byte::<14>();
    let header = u32::from(version_ihl & 0xf) * 4;
    let total = u32::from(head.be16::<16>());
    datagram.source = Address::v4_word(head.word::<26>());
    datagram.destination = Address::v4_word(head.word::<30>());
    datagram.protocol = head.byte::<23>();
    datagram.hop_limit = head.byte::<22>();
    if version_ihl >> 4 != 4 || header < MINIMUM || total < header || ETHERNET + total > length {
        return Err(DropReason::Malformed);
    }
    datagram.transport = ETHERNET + header;
    datagram.end = ETHERNET + total;
    let fragment = head.be16::<20>();
    datagram.fragment_id = u32::from(head.be16::<18>());
    datagram.fragment = transport::fragment(fragment & OFFSET, fragment & MORE_FRAGMENTS != 0, datagram.protocol)?;
    if matches!(datagram.fragment, Fragment::Later) {
        return Ok(());
    }
    if header == MINIMUM {
        transport::parse_at::<34>(head, datagram)
    } else {
        transport::parse(packet, datagram)
    }
}
