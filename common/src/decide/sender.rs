//! What a pod may send: nothing under another's name (DESIGN.md §3.3).

use super::Tables;
use super::tables::peer_of;
use crate::abi::{Address, DropReason, Endpoint, PeerKind};
use crate::parse::protocol::{ICMP, ICMPV6, IGMP, PIM, UDP};
use crate::parse::{
    Arp, Datagram, Fragment, Frame, Neighbour, Packet, Quoted, Role, claims, is_bare_arp, is_written_over, quoted_ends,
};

const ICMP_REDIRECT: u8 = 5;
const ICMP_ROUTER_ADVERTISEMENT: u8 = 9;
/// Multicast router discovery (RFC 4286): advertisement, solicitation and termination.
const MRD6_FIRST: u8 = 151;
const MRD6_LAST: u8 = 153;
const MRD4_FIRST: u8 = 0x30;
const MRD4_LAST: u8 = 0x32;
const IGMP_QUERY: u8 = 0x11;
const IGMP_DVMRP: u8 = 0x13;
const IGMP_PIM: u8 = 0x14;
const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

/// The MAC address.
#[inline(always)]
pub(super) fn check_frame(frame: &Frame, endpoint: &Endpoint) -> Result<(), DropReason> {
    if frame.ether_type == 0 {
        return Err(DropReason::Malformed);
    }
    if frame.source_mac == endpoint.mac { Ok(()) } else { Err(DropReason::SpoofedSource) }
}

/// Who an ARP packet says it is, and what it carries. A probe is about the address that its sender means to take: another's would keep that one from it.
#[inline(always)]
pub(super) fn check_arp<P: Packet, T: Tables>(
    packet: &P,
    arp: &Arp,
    tables: &T,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    let is_probe = arp.sender_ip == [0; 4];
    let claimed = Address::v4(if is_probe { arp.target_ip } else { arp.sender_ip });
    let own = endpoint.owns(&claimed) || forwards_for(tables, endpoint, &claimed);
    if !own || arp.sender_mac != endpoint.mac.octets() {
        return Err(DropReason::SpoofedSource);
    }
    // No policy asks who gets it.
    if is_bare_arp(packet) { Ok(()) } else { Err(DropReason::Malformed) }
}

/// Who a neighbour discovery packet says it is.
#[inline(always)]
pub(super) fn check_neighbour<P: Packet, T: Tables>(
    packet: &P,
    datagram: &Datagram,
    tables: &T,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    // Fragments hide what the packet claims (RFC 6980).
    if !matches!(datagram.fragment, Fragment::Whole) {
        return Err(DropReason::Malformed);
    }
    let mut claimed = Neighbour::NOTHING;
    claims(packet, datagram, &mut claimed)?;
    if claimed.mac != [0; 6] && claimed.mac != endpoint.mac.octets() {
        return Err(DropReason::SpoofedSource);
    }
    let may_claim = |address: &Address| {
        address.is_unspecified() || owns(endpoint, address) || forwards_for(tables, endpoint, address)
    };
    let may_speak = !claimed.as_router || endpoint.is(Endpoint::ROUTER);
    if !may_speak || !may_claim(&datagram.source) || !may_claim(&claimed.target) {
        return Err(DropReason::SpoofedSource);
    }
    // No policy asks who gets it.
    if claimed.carries_more && !claimed.as_router { Err(DropReason::Malformed) } else { Ok(()) }
}

/// A router speaks for addresses that are no pod's and no node's: whoever has one of those speaks for himself.
#[inline(always)]
fn forwards_for<T: Tables>(tables: &T, endpoint: &Endpoint, address: &Address) -> bool {
    endpoint.is(Endpoint::ROUTER) && matches!(peer_of(tables, address).kind(), PeerKind::External)
}

#[inline(always)]
fn owns(endpoint: &Endpoint, address: &Address) -> bool {
    endpoint.owns(address) || *address == endpoint.link_local()
}

/// True where all of these checks pass at a glance: own addresses, and nothing that is anything special.
#[inline(always)]
pub(super) fn is_plain(frame: &Frame, datagram: &Datagram, endpoint: &Endpoint) -> bool {
    frame.source_mac == endpoint.mac
        && endpoint.owns(&datagram.source)
        && !datagram.destination.is_link_local_v6()
        && !is_dhcp_server(datagram)
}

/// What the kernel has still to write into a packet: not what was read here.
#[inline(always)]
pub(super) fn check_unsummed<P: Packet>(packet: &P, frame: &Frame, datagram: &Datagram) -> Result<(), DropReason> {
    let is_written_over =
        if frame.is_arp() { packet.checksum_place().is_some() } else { is_written_over(packet, datagram) };
    if is_written_over { Err(DropReason::Malformed) } else { Ok(()) }
}

/// The source address, and what only routers and DHCP servers send.
#[inline(always)]
pub(super) fn check_datagram<P: Packet, T: Tables>(
    packet: &P,
    datagram: &Datagram,
    tables: &T,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    check_source(datagram, tables, endpoint)?;
    if matches!(datagram.role, Role::Error) && !endpoint.is(Endpoint::ROUTER) {
        check_error(packet, datagram, endpoint)?;
    }
    if datagram.destination.is_link_local_v6() && !to_own_node(datagram, tables) {
        return Err(DropReason::UnknownEndpoint);
    }
    Ok(())
}

#[inline(always)]
fn check_source<T: Tables>(datagram: &Datagram, tables: &T, endpoint: &Endpoint) -> Result<(), DropReason> {
    let own = endpoint.owns(&datagram.source)
        // Link-local addresses are for the own node: between pods they are a way round.
        || (datagram.source == endpoint.link_local() && to_own_node(datagram, tables))
        || forwards_for(tables, endpoint, &datagram.source);
    let may_speak = !speaks_as_router(datagram) && !is_dhcp_server(datagram) || endpoint.is(Endpoint::ROUTER);
    if own && may_speak { Ok(()) } else { Err(DropReason::SpoofedSource) }
}

/// An ICMP error of a pod that routes for nobody is about a packet that was sent to it, and goes to who sent that.
#[inline(always)]
fn check_error<P: Packet>(packet: &P, datagram: &Datagram, endpoint: &Endpoint) -> Result<(), DropReason> {
    let mut inner = Quoted::NOTHING;
    if quoted_ends(packet, datagram, &mut inner).is_none() {
        return Err(DropReason::Malformed);
    }
    if owns(endpoint, &inner.destination) && inner.source == datagram.destination {
        Ok(())
    } else {
        Err(DropReason::SpoofedSource)
    }
}

/// What tells hosts where a router is, or a bridge where listeners or other routers are.
#[inline(always)]
const fn speaks_as_router(datagram: &Datagram) -> bool {
    match datagram.protocol {
        ICMP => matches!(datagram.icmp_type, ICMP_REDIRECT | ICMP_ROUTER_ADVERTISEMENT),
        ICMPV6 => matches!(datagram.icmp_type, MRD6_FIRST..=MRD6_LAST),
        IGMP => matches!(datagram.icmp_type, IGMP_QUERY | IGMP_DVMRP | IGMP_PIM | MRD4_FIRST..=MRD4_LAST),
        PIM => true,
        _ => false,
    }
}

#[inline(always)]
fn is_dhcp_server(datagram: &Datagram) -> bool {
    datagram.protocol == UDP
        && ((datagram.source_port == DHCP_SERVER && datagram.source.is_v4())
            || (datagram.source_port == DHCPV6_SERVER && !datagram.source.is_v4()))
}

#[inline(always)]
fn to_own_node<T: Tables>(datagram: &Datagram, tables: &T) -> bool {
    matches!(peer_of(tables, &datagram.destination).kind(), PeerKind::OwnNode)
}
