//! The flow that a packet belongs to, as its endpoint sees it.

use super::origin::came_through_router;
use crate::abi::{Address, Direction, FlowKey, PeerKind};
use crate::decide::tables::peer_of;
use crate::decide::{Context, Tables};
use crate::parse::protocol::{ICMP, ICMPV6};
use crate::parse::{Datagram, Packet, Quoted, quoted};

/// The key of the packet's own flow.
#[inline(always)]
pub(in crate::decide) fn key_of(endpoint: u32, direction: Direction, datagram: &Datagram) -> FlowKey {
    let tuple = Quoted {
        source: datagram.source,
        destination: datagram.destination,
        protocol: datagram.protocol,
        source_port: datagram.source_port,
        destination_port: datagram.destination_port,
    };
    key(endpoint, direction, &tuple)
}

/// The key of the flow that an ICMP error quotes a packet of. `None` where that is no flow of this pod's.
#[inline(always)]
pub(super) fn quoted_key<P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    datagram: &Datagram,
) -> Option<FlowKey> {
    let mut inner = Quoted::NOTHING;
    quoted(packet, datagram, &mut inner)?;
    if !is_own(context, datagram.destination, &inner) || !is_on_path(context, packet, &datagram.source, &inner) {
        return None;
    }
    // The quoted packet went the other way.
    let direction = match context.direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    };
    Some(key(context.endpoint.id, direction, &inner))
}

/// An error goes to the sender of what it quotes, and one end of that is this pod.
#[inline(always)]
fn is_own<T: Tables>(context: &Context<'_, T>, error_destination: Address, inner: &Quoted) -> bool {
    let own = match context.direction {
        Direction::Egress => inner.destination,
        Direction::Ingress => inner.source,
    };
    inner.source == error_destination && context.endpoint.owns(&own)
}

/// True for who can be on the path of the quoted packet: any router, but of the pods only the one that it was sent to.
/// What a pod sends has been held to that at its own veth.
#[inline(always)]
fn is_on_path<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, sender: &Address, inner: &Quoted) -> bool {
    matches!(context.direction, Direction::Egress)
        || *sender == inner.destination
        || !matches!(peer_of(context.tables, sender).kind(), PeerKind::Pod | PeerKind::LocalPod | PeerKind::UnknownPod)
        || came_through_router(context, packet.arrival())
}

#[inline(always)]
fn key(endpoint: u32, direction: Direction, tuple: &Quoted) -> FlowKey {
    let (local, remote, local_port, remote_port) = match direction {
        Direction::Egress => (tuple.source, tuple.destination, tuple.source_port, tuple.destination_port),
        Direction::Ingress => (tuple.destination, tuple.source, tuple.destination_port, tuple.source_port),
    };
    let icmp = matches!(tuple.protocol, ICMP | ICMPV6);
    // Echo: a request's destination port is 1, and the end that asks has a flow of its own, so that a request
    // never passes as the answer to one that went the other way.
    let asks = (tuple.destination_port == 1) == matches!(direction, Direction::Egress);
    let local_port = if icmp { tuple.source_port } else { local_port };
    let remote_port = if icmp { u16::from(asks) } else { remote_port };
    FlowKey::new(endpoint, tuple.protocol, (local_index(&local), local_port), (remote, remote_port))
}

/// Which of the endpoint's addresses the flow is with.
#[inline(always)]
pub(in crate::decide) fn local_index(local: &Address) -> u8 {
    if local.is_v4() {
        0
    } else if local.is_link_local_v6() {
        2
    } else {
        1
    }
}
