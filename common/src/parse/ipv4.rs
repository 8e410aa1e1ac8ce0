//! IPv4 (RFC 791), options honoured for the length that they have.
//!
//! A source route that still has somewhere to go is refused: its packet ends where no policy has been asked about. Nodes
//! follow none unless they are told to (`accept_source_route`), but a router behind them may.

use super::{Datagram, ETHERNET, Fragment, Packet, be16, byte, transport};
use crate::abi::{Address, DropReason};

const MINIMUM: u32 = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Kinds of options (RFC 791 §3.1).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
/// Bytes of options that a header can have, of which an option takes one at least.
const MAX_OPTIONS: u32 = 40;

#[inline(always)]
pub(super) fn parse<P: Packet>(packet: &P, datagram: &mut Datagram) -> Result<(), DropReason> {
    let words = packet.words::<14, 5>().ok_or(DropReason::Malformed)?;
    let header = read(words, packet.length(), datagram)?;
    if header != MINIMUM {
        check_options(packet, ETHERNET + header)?;
    }
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

/// Follows the options of a header that ends there.
///
/// # Errors
/// One of them is not whole, or leads on.
#[inline(never)]
fn check_options<P: Packet>(packet: &P, end: u32) -> Result<(), DropReason> {
    let mut at = ETHERNET + MINIMUM;
    for _ in 0..MAX_OPTIONS {
        if at >= end {
            break;
        }
        let [kind, length]: [u8; 2] = packet.load(at).ok_or(DropReason::Malformed)?;
        at += match kind {
            END_OF_OPTIONS => break,
            NO_OPERATION => 1,
            _ if length < 2 || at + u32::from(length) > end => return Err(DropReason::Malformed),
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => {
                let [next]: [u8; 1] = packet.load(at + 2).ok_or(DropReason::Malformed)?;
                // Behind the last address, counted from 1, the route has been followed to its end.
                if next <= length {
                    return Err(DropReason::UnsupportedProtocol);
                }
                u32::from(length)
            }
            _ => u32::from(length),
        };
    }
    Ok(())
}
