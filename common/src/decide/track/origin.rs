//! Who is at the other end of a packet that must be judged.

use crate::abi::{Address, Direction, DropReason, Endpoint, Peer, PeerKind};
use crate::decide::receiver::is_generated_here;
use crate::decide::{Context, Remote, Tables};
use crate::parse::Arrival;

/// The other end of a packet.
pub(super) enum Origin {
    SamePod,
    /// `by_node`: the pod's own node generated the packet, or is the one to get it.
    Peer {
        by_node: bool,
    },
}

/// `remote` is the other end of the packet's flow, which for an ICMP error need not be its sender.
///
/// # Errors
/// `SpoofedSource` for a local pod's address that did not come from that pod's veth, and for an address that nobody has;
/// `Malformed` for a destination that no packet between hosts has.
#[inline(always)]
pub(super) fn of<T: Tables>(
    context: &Context<'_, T>,
    arrival: Arrival,
    remote: &Address,
    Remote { peer, service }: Remote,
) -> Result<Origin, DropReason> {
    match context.direction {
        // A node with `route_localnet` would hand it to its own loopback services.
        Direction::Egress if remote.is_loopback() || remote.is_unspecified() => Err(DropReason::Malformed),
        // Where a Service claims the pod's own address, its node may send it elsewhere.
        Direction::Egress if context.endpoint.owns(remote) && service.number().is_none() => Ok(Origin::SamePod),
        Direction::Egress => Ok(Origin::Peer { by_node: matches!(peer.kind(), PeerKind::OwnNode) }),
        Direction::Ingress if is_nobodys(remote) => Err(DropReason::SpoofedSource),
        Direction::Ingress => arrived(context, arrival, remote, peer),
    }
}

/// No sender has such an address. 0.0.0.0 is that of DHCP clients and of bridges that ask for multicast listeners, and
/// 240.0.0.0/4 is in use as ordinary addresses.
#[inline(always)]
const fn is_nobodys(source: &Address) -> bool {
    source.is_loopback() || source.is_group() || (source.is_unspecified() && !source.is_v4())
}

/// The sender of what has reached the receiver's veth.
#[inline(always)]
fn arrived<T: Tables>(
    context: &Context<'_, T>,
    arrival: Arrival,
    remote: &Address,
    peer: Peer,
) -> Result<Origin, DropReason> {
    let came_from = arrival.ingress_ifindex;
    if came_from == 0 {
        // What the node did not generate are fragments that it has made: their sender is whom they name, and no pod is
        // let in as itself by them.
        return Ok(Origin::Peer { by_node: is_generated_here(arrival, peer) });
    }
    if matches!(peer.kind(), PeerKind::LocalPod) && !came_from_pod(context, came_from, remote) {
        return Err(DropReason::SpoofedSource);
    }
    // By way of a Service: what comes back over the pod's own interface it has sent itself, under whatever name.
    if context.endpoint.owns(remote) || came_from == context.endpoint.ifindex {
        return Ok(Origin::SamePod);
    }
    Ok(Origin::Peer { by_node: false })
}

/// True where a packet came in through the veth of the pod that has this address, or through a bridge whose
/// ports are pods.
#[inline(always)]
fn came_from_pod<T: Tables>(context: &Context<'_, T>, ifindex: u32, address: &Address) -> bool {
    let Some(interface) = context.tables.interface(ifindex) else { return false };
    if interface.ifindex() != ifindex {
        return false;
    }
    interface.is_bridge()
        || context
            .tables
            .endpoint(interface.slot())
            .is_some_and(|endpoint| endpoint.ifindex == ifindex && endpoint.owns(address))
}

/// True where a packet came in through the veth of a router pod.
#[inline(always)]
pub(super) fn came_through_router<T: Tables>(context: &Context<'_, T>, arrival: Arrival) -> bool {
    let ifindex = arrival.ingress_ifindex;
    let Some(interface) = context.tables.interface(ifindex) else { return false };
    interface.ifindex() == ifindex
        && !interface.is_bridge()
        && context
            .tables
            .endpoint(interface.slot())
            .is_some_and(|endpoint| endpoint.ifindex == ifindex && endpoint.is(Endpoint::ROUTER))
}
