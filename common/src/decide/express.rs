//! The short cut for plain packets: most packets are plain, and of a flow that holds. What is read of those stays in
//! registers, and nobody ever writes it down. It decides nothing that the long way would not.

use super::track::{Held, flow_under, key_of, pass_on};
use super::{Context, Look, Seen, Tables, receiver, sender};
use crate::abi::{Direction, FlowKey};
use crate::parse::protocol::TCP;
use crate::parse::{
    Datagram, ETHERTYPE_IPV4, Fragment, Frame, Packet, is_written_over, plain_frame, plain_v4, plain_v6,
};

/// Held, open, or not plain, or not as it should be. What is open is written down, briefly.
#[inline(always)]
pub(super) fn look<'s, P: Packet, T: Tables>(
    context: &Context<'_, T>,
    packet: &P,
    seen: impl FnOnce() -> Option<&'s mut Seen>,
) -> Look<'s> {
    let Some(frame) = plain_frame(packet) else { return Look::Unusual };
    // For each family by itself: what is the same for both is less than what an address costs that may be of either.
    let plain = if frame.ether_type == ETHERTYPE_IPV4 {
        own(context, &frame, plain_v4(packet))
    } else {
        own(context, &frame, plain_v6(packet))
    };
    let Some((key, datagram)) = plain else { return Look::Unusual };
    let flow = flow_under(context, key, datagram.role);
    // What belongs to a TCP connection is of no use elsewhere: it is not looked at again.
    let may_stray = matches!(context.direction, Direction::Egress) && datagram.protocol != TCP && flow.is_known();
    if may_stray && is_written_over(packet, &datagram) {
        return Look::Unusual;
    }
    let held = pass_on(context, packet, &flow, &datagram);
    if held == Held::Yes {
        return Look::Held;
    }
    let Some(seen) = seen() else { return Look::Unusual };
    if held == Held::Miscounted {
        (seen.flow, seen.slot) = (flow.key, context.slot);
        return Look::Miscounted;
    }
    write_down(context, &flow.key, &datagram, seen);
    Look::Open(seen)
}

/// The key of the flow, and what else of the packet is needed behind its look-up. `None` where it is not plain, or not
/// the pod's own.
#[inline(always)]
fn own<T: Tables>(context: &Context<'_, T>, frame: &Frame, datagram: Option<Datagram>) -> Option<(FlowKey, Datagram)> {
    let datagram = datagram?;
    let passes = match context.direction {
        Direction::Egress => sender::is_plain(frame, &datagram, context.endpoint),
        Direction::Ingress => receiver::is_plain(frame, &datagram, context.endpoint),
    };
    if !passes {
        return None;
    }
    let key = key_of(context.endpoint.id, context.direction, &datagram);
    let Datagram { protocol, role, fin, rst, transport, .. } = datagram;
    Some((key, Datagram { protocol, role, fin, rst, transport, ..Datagram::EMPTY }))
}

/// Writes down what is known of a plain packet: all that its judgement needs. Field by field, so that it does not come
/// together on the programs' stack first. The other fields of its frame and datagram are those of an earlier packet, and
/// nothing reads them of one that [is brief](Seen::is_brief): to clear them would cost each dropped packet a nanosecond.
#[inline(always)]
fn write_down<T>(context: &Context<'_, T>, flow: &FlowKey, datagram: &Datagram, seen: &mut Seen) {
    seen.clear(context);
    seen.frame.ether_type = 0;
    seen.datagram.fragment = Fragment::Whole;
    (seen.datagram.source_port, seen.datagram.destination_port) = match context.direction {
        Direction::Egress => (flow.local_port(), flow.remote_port()),
        Direction::Ingress => (flow.remote_port(), flow.local_port()),
    };
    (seen.datagram.protocol, seen.datagram.role) = (datagram.protocol, datagram.role);
    (seen.datagram.fin, seen.datagram.rst, seen.datagram.transport) = (datagram.fin, datagram.rst, datagram.transport);
    seen.flow = *flow;
    seen.is_own = true;
}
