//! Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810): what a packet claims.

use super::{Datagram, Packet};
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
/// More options than this are not followed.
const MAX_OPTIONS: usize = 4;

/// What a pod claims about itself by neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Neighbour {
    /// Speaks as a router: an advertisement, a redirect, a multicast listener query.
    pub as_router: bool,
    /// The address that an advertisement says is the sender's; `::` where it says none.
    pub target: Address,
    /// The link-layer address that it says is the sender's; zero where it says none.
    pub mac: [u8; 6],
}

impl Neighbour {
    pub const NOTHING: Self = Self { as_router: false, target: Address { words: [0; 4] }, mac: [0; 6] };
}

/// Reads what a packet of role `Neighbour` claims.
///
/// # Errors
/// `Malformed` where the hop limit says that it came through a router, or where options do not add up.
#[inline(never)]
pub fn claims<P: Packet>(packet: &P, datagram: &Datagram, claimed: &mut Neighbour) -> Result<(), DropReason> {
    let listener = !matches!(datagram.icmp_type, ROUTER_SOLICITATION..=REDIRECT);
    if datagram.hop_limit != if listener { 1 } else { 255 } {
        return Err(DropReason::Malformed);
    }
    let options = match datagram.icmp_type {
        MLD_QUERY | ROUTER_ADVERTISEMENT | REDIRECT => {
            claimed.as_router = true;
            return Ok(());
        }
        MLD_REPORT | MLD_DONE => return Ok(()),
        ROUTER_SOLICITATION => 8,
        NEIGHBOUR_SOLICITATION => 24,
        NEIGHBOUR_ADVERTISEMENT => {
            if datagram.transport + 24 > datagram.end {
                return Err(DropReason::Malformed);
            }
            let target = packet.load(datagram.transport + 8).ok_or(DropReason::Malformed)?;
            claimed.target = Address::v6(target);
            24
        }
        _ => return Ok(()),
    };
    link_layer(packet, datagram, datagram.transport + options, &mut claimed.mac)
}

/// The link-layer option of the sender's, among at most [`MAX_OPTIONS`].
#[inline(always)]
fn link_layer<P: Packet>(packet: &P, datagram: &Datagram, start: u32, found: &mut [u8; 6]) -> Result<(), DropReason> {
    let wanted = if datagram.icmp_type == NEIGHBOUR_ADVERTISEMENT { TARGET_LINK_LAYER } else { SOURCE_LINK_LAYER };
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
        if option[0] == wanted {
            let mac = [option[2], option[3], option[4], option[5], option[6], option[7]];
            // Two different claims in one packet: which one a host believes is its own affair.
            if *found != [0; 6] && *found != mac {
                return Err(DropReason::Malformed);
            }
            *found = mac;
        }
        offset += u32::from(option[1]) * 8;
    }
    if offset == datagram.end { Ok(()) } else { Err(DropReason::Malformed) }
}
