//! What is for a pod: its own addresses, and what is sent to a group.

use super::Seen;
use crate::abi::{DropReason, Endpoint};
use crate::parse::{Datagram, Fragment, Frame, Neighbour, Packet, claims};

/// The MAC address. A bridge floods frames that it cannot place: those are for somebody else.
#[inline(always)]
pub(super) fn check_frame(frame: &Frame, endpoint: &Endpoint) -> Result<(), DropReason> {
    if frame.ether_type == 0 {
        return Err(DropReason::Malformed);
    }
    if frame.is_group() || frame.destination_mac.is(&endpoint.mac) { Ok(()) } else { Err(DropReason::WrongDestination) }
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
pub(super) fn check_datagram<P: Packet>(packet: &P, seen: &Seen, endpoint: &Endpoint) -> Result<(), DropReason> {
    let datagram = &seen.datagram;
    let from_own_node = packet.ingress_ifindex() == 0;
    if datagram.source.is_link_local_v6() && !from_own_node {
        return Err(DropReason::SpoofedSource);
    }
    if seen.frame.is_group() || datagram.destination.is_group() || endpoint.owns(&datagram.destination) {
        return Ok(());
    }
    if datagram.destination == endpoint.link_local() {
        return if from_own_node { Ok(()) } else { Err(DropReason::UnknownEndpoint) };
    }
    if endpoint.is(Endpoint::ROUTER) { Ok(()) } else { Err(DropReason::WrongDestination) }
}
