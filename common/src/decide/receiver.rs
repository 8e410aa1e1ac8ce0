//! What is for a pod: its own addresses, and what is sent to a group.

use super::Tables;
use super::tables::peer_of;
use crate::abi::{DropReason, Endpoint, Peer, PeerKind};
use crate::parse::{Arrival, Datagram, Fragment, Frame, Neighbour, Packet, claims};

/// True where all of these checks pass at a glance: from anywhere but this link, to the pod's own addresses.
#[inline(always)]
pub(super) fn is_plain(frame: &Frame, datagram: &Datagram, endpoint: &Endpoint) -> bool {
    frame.destination_mac == endpoint.mac && endpoint.owns(&datagram.destination) && !datagram.source.is_link_local_v6()
}

/// True for what a socket of the pod's own node has sent under one of the node's addresses. An address alone proves
/// nothing: others' packets carry it that the node masquerades. No incoming interface proves nothing either: the
/// fragments that a node makes of a forwarded packet have none.
#[inline(always)]
pub(super) fn is_generated_here(arrival: Arrival, source: Peer) -> bool {
    arrival.ingress_ifindex == 0 && arrival.has_socket && matches!(source.kind(), PeerKind::OwnNode)
}

/// The peer to a judgement of ingress: an address alone makes nobody the own node.
#[inline(always)]
pub(super) const fn as_receiver_sees(peer: Peer, by_node: bool) -> Peer {
    match (by_node, peer.kind()) {
        (true, _) => peer.with_kind(PeerKind::OwnNode),
        (false, PeerKind::OwnNode) => peer.with_kind(PeerKind::External),
        _ => peer,
    }
}

/// The MAC address. A bridge floods frames that it cannot place: those are for somebody else.
#[inline(always)]
pub(super) fn check_frame(frame: &Frame, endpoint: &Endpoint) -> Result<(), DropReason> {
    if frame.ether_type == 0 {
        return Err(DropReason::Malformed);
    }
    let own = frame.destination_mac == endpoint.mac;
    if own || frame.is_group() { Ok(()) } else { Err(DropReason::WrongDestination) }
}

/// Neighbour discovery has been held to its sender at the sender's own veth.
#[inline(always)]
pub(super) fn check_neighbour<P: Packet>(packet: &P, datagram: &Datagram) -> Result<(), DropReason> {
    if !matches!(datagram.fragment, Fragment::Whole) {
        return Err(DropReason::Malformed);
    }
    let mut claimed = Neighbour::NOTHING;
    claims(packet, datagram, &mut claimed)
}

/// The destination address; link-local addresses are for the own node alone.
#[inline(always)]
pub(super) fn check_datagram<P: Packet, T: Tables>(
    packet: &P,
    frame: &Frame,
    datagram: &Datagram,
    tables: &T,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    let from_own_node = || is_generated_here(packet.arrival(), peer_of(tables, &datagram.source));
    if datagram.source.is_link_local_v6() && !from_own_node() {
        return Err(DropReason::SpoofedSource);
    }
    if frame.is_group() || datagram.destination.is_group() || endpoint.owns(&datagram.destination) {
        return Ok(());
    }
    if datagram.destination == endpoint.link_local() {
        return if from_own_node() { Ok(()) } else { Err(DropReason::UnknownEndpoint) };
    }
    if endpoint.is(Endpoint::ROUTER) { Ok(()) } else { Err(DropReason::WrongDestination) }
}
