//! Who is at the other end of a packet that must be judged.

use crate::abi::{Address, Direction, DropReason, Peer, PeerKind};
use crate::decide::{Context, Tables};
use crate::parse::Packet;

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
/// `SpoofedSource` for a local pod's address that did not come from that pod's veth.
#[inline(always)]
pub(super) fn of<P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    remote: &Address,
    peer: Peer,
) -> Result<Origin, DropReason> {
    let came_from = packet.ingress_ifindex();
    match context.direction {
        Direction::Egress if context.endpoint.owns(remote) => Ok(Origin::SamePod),
        Direction::Egress => Ok(Origin::Peer { by_node: matches!(peer.kind(), PeerKind::OwnNode) }),
        Direction::Ingress if came_from == 0 => Ok(Origin::Peer { by_node: true }),
        Direction::Ingress
            if matches!(peer.kind(), PeerKind::LocalPod) && !came_from_pod(context, came_from, remote) =>
        {
            Err(DropReason::SpoofedSource)
        }
        // By way of a Service: what comes back over the pod's own interface it has sent itself, under whatever name.
        Direction::Ingress if context.endpoint.owns(remote) || came_from == context.endpoint.ifindex => {
            Ok(Origin::SamePod)
        }
        Direction::Ingress => Ok(Origin::Peer { by_node: false }),
    }
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
