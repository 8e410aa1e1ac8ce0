//! IPv6 (RFC 8200): a bounded walk over extension headers.

use super::{Datagram, ETHERNET, Fragment, Packet, be16, byte, transport};
use crate::abi::{Address, DropReason};

pub(super) const HEADER: u32 = 40;
/// More extension headers than this are not followed.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

#[inline(always)]
pub(super) fn parse<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let words = packet.words::<14, 10>().ok_or(DropReason::Malformed)?;
    read(words, packet.length(), datagram)?;
    if datagram.source.embeds_v4() || datagram.destination.embeds_v4() {
        return Err(DropReason::Malformed);
    }
    if is_extension(datagram.protocol) {
        walk(packet, datagram)?;
        if matches!(datagram.fragment, Fragment::Later) {
            return Ok(());
        }
        return transport::parse(packet, datagram);
    }
    transport::parse_at::<P, 54>(packet, datagram)
}

/// The packet, if it is plain ([`super::plain_frame`]). None of its addresses begins as those
/// do that stand for an IPv4 one ([`Address::embeds_v4`]): the first word tells.
#[inline(always)]
pub fn plain<P: Packet>(packet: &P) -> Option<Datagram> {
    let mut datagram = Datagram::EMPTY;
    read(packet.near::<14, 10>()?, packet.length(), &mut datagram).ok()?;
    if datagram.source.words[0] == 0 || datagram.destination.words[0] == 0 {
        return None;
    }
    transport::plain_at::<P, 54>(packet, datagram)
}

/// Reads the header in a frame of this length.
#[inline(always)]
fn read(words: [u32; 10], frame: u32, datagram: &mut Datagram) -> Result<(), DropReason> {
    let [start, length_next, s0, s1, s2, s3, d0, d1, d2, d3] = words;
    datagram.source = Address { words: [s0, s1, s2, s3] };
    datagram.destination = Address { words: [d0, d1, d2, d3] };
    datagram.protocol = byte(length_next, 2);
    datagram.hop_limit = byte(length_next, 3);
    datagram.transport = ETHERNET + HEADER;
    // A payload length of 0 would be a jumbogram, which no veth carries unless someone asks for it.
    datagram.end = ETHERNET + HEADER + u32::from(be16(length_next).0);
    if byte(start, 0) >> 4 != 6 || datagram.end > frame {
        return Err(DropReason::Malformed);
    }
    Ok(())
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6)
}

/// Follows the extension headers to the transport header, or to the first fragment header of a later fragment.
#[inline(never)]
fn walk<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let mut next = datagram.protocol;
    let mut offset = datagram.transport;
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            break;
        }
        if offset + 8 > datagram.end {
            return Err(DropReason::Malformed);
        }
        let header: [u8; 8] = packet.load(offset).ok_or(DropReason::Malformed)?;
        let this = next;
        next = header[0];
        // The address that a routing header still has to visit is the real destination.
        if this == ROUTING && header[3] != 0 {
            return Err(DropReason::UnsupportedProtocol);
        }
        offset += match this {
            FRAGMENT => 8,
            AUTHENTICATION => (u32::from(header[1]) + 2) * 4,
            _ => (u32::from(header[1]) + 1) * 8,
        };
        if this == FRAGMENT {
            if !matches!(datagram.fragment, Fragment::Whole) {
                return Err(DropReason::Malformed);
            }
            let place = u16::from_be_bytes([header[2], header[3]]);
            datagram.fragment_id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            datagram.fragment = transport::fragment(place >> 3, place & 1 != 0, next)?;
            if matches!(datagram.fragment, Fragment::Later) {
                break;
            }
        }
    }
    if offset > datagram.end {
        return Err(DropReason::Malformed);
    }
    datagram.protocol = next;
    datagram.transport = offset;
    // A later fragment's `next` is what follows its fragment header, which may be another extension header.
    if is_extension(next) {
        return Err(DropReason::UnsupportedProtocol);
    }
    Ok(())
}
