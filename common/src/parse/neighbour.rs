//! Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810): what a packet claims.

use super::{Datagram, ETHERNET, Packet, ipv6};
use crate::abi::{Address, DropReason};

const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
/// With six random bytes, by which a host knows its own solicitations again (RFC 7527).
const NONCE: u8 = 14;
/// More options than this are not followed.
const MAX_OPTIONS: usize = 4;

/// The hop-by-hop header with the router alert that listener discovery has (RFC 2711).
const ROUTER_ALERT: u32 = 8;
/// A report of 16 groups, or of fewer with sources.
const LONGEST_REPORT: u32 = 8 + 16 * 20;

/// What a pod claims about itself by neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Neighbour {
    /// Speaks as a router: an advertisement, a redirect, a multicast listener query.
    pub as_router: bool,
    /// Carries more than its message takes: other options, other headers, bytes behind its end.
    pub carries_more: bool,
    /// The address that an advertisement says is the sender's, or that its sender means to take; `::` where there is none.
    pub target: Address,
    /// The link-layer address that it says is the sender's; zero where it says none.
    pub mac: [u8; 6],
}

impl Neighbour {
    pub const NOTHING: Self =
        Self { as_router: false, carries_more: false, target: Address { words: [0; 4] }, mac: [0; 6] };
}

/// Reads what a packet of role `Neighbour` claims.
///
/// # Errors
/// `Malformed` where the hop limit says that it came through a router, where options do not add up, and where an IPv4
/// address stands for an IPv6 one.
#[inline(never)]
pub fn claims<P: Packet>(packet: &P, datagram: &Datagram, claimed: &mut Neighbour) -> Result<(), DropReason> {
    let listener = !matches!(datagram.icmp_type, ROUTER_SOLICITATION..=REDIRECT);
    if datagram.hop_limit != if listener { 1 } else { 255 } {
        return Err(DropReason::Malformed);
    }
    let length = datagram.end - datagram.transport.min(datagram.end);
    let headers = ETHERNET + ipv6::HEADER + if listener { ROUTER_ALERT } else { 0 };
    claimed.carries_more = datagram.transport > headers || packet.length() != datagram.end;
    let options = match datagram.icmp_type {
        MLD_QUERY | ROUTER_ADVERTISEMENT | REDIRECT => {
            claimed.as_router = true;
            return Ok(());
        }
        MLD_REPORT | MLD_DONE => {
            claimed.carries_more |= length != 24;
            return Ok(());
        }
        ROUTER_SOLICITATION => 8,
        NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => {
            claimed.target = target(packet, datagram)?;
            24
        }
        _ => {
            claimed.carries_more |= length > LONGEST_REPORT;
            return Ok(());
        }
    };
    read_options(packet, datagram, datagram.transport + options, claimed)
}

/// The address that a solicitation or an advertisement is about. A solicitation says nothing about its sender by it, unless
/// that has no address yet.
#[inline(always)]
fn target<P: Packet>(packet: &P, datagram: &Datagram) -> Result<Address, DropReason> {
    if datagram.transport + 24 > datagram.end {
        return Err(DropReason::Malformed);
    }
    let target = Address::v6(packet.load(datagram.transport + 8).ok_or(DropReason::Malformed)?);
    if target.embeds_v4() {
        return Err(DropReason::Malformed);
    }
    let is_about_sender = datagram.icmp_type == NEIGHBOUR_ADVERTISEMENT || datagram.source.is_unspecified();
    Ok(if is_about_sender { target } else { Address { words: [0; 4] } })
}

/// At most [`MAX_OPTIONS`] options, with the link-layer address of the sender's among them.
#[inline(always)]
fn read_options<P: Packet>(
    packet: &P,
    datagram: &Datagram,
    start: u32,
    claimed: &mut Neighbour,
) -> Result<(), DropReason> {
    let mut offset = start;
    for _ in 0..MAX_OPTIONS {
        if offset == datagram.end {
            return Ok(());
        }
        if offset + 8 > datagram.end {
            return Err(DropReason::Malformed);
        }
        let option: [u8; 8] = packet.load(offset).ok_or(DropReason::Malformed)?;
        if option[1] == 0 {
            return Err(DropReason::Malformed);
        }
        claimed.carries_more |= option[1] != 1;
        match option[0] {
            SOURCE_LINK_LAYER | TARGET_LINK_LAYER => {
                let mac = [option[2], option[3], option[4], option[5], option[6], option[7]];
                // Two different claims in one packet: which one a host believes is its own affair.
                if claimed.mac != [0; 6] && claimed.mac != mac {
                    return Err(DropReason::Malformed);
                }
                claimed.mac = mac;
            }
            NONCE => {}
            _ => claimed.carries_more = true,
        }
        offset += u32::from(option[1]) * 8;
    }
    if offset == datagram.end { Ok(()) } else { Err(DropReason::Malformed) }
}
