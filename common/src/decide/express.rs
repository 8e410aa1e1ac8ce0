//! The short cut for plain packets: most packets are plain, and of a flow that holds. What is read of those stays in
//! registers, and nobody ever writes it down. It decides nothing that the long way would not.

use super::track::{own_flow, pass_on};
use super::{Context, Decided, Outcome, Seen, Tables, receiver, sender};
use crate::abi::Direction;
use crate::parse::{Packet, plain};

/// Held, open, or not plain, or not as it should be.
#[inline(always)]
pub(super) fn look<P: Packet, T: Tables>(context: &Context<'_, T>, packet: &P, seen: &mut Seen) -> Decided {
    let Some((frame, datagram)) = plain(packet) else { return Decided::Unusual };
    let passes = match context.direction {
        Direction::Egress => sender::is_plain(&frame, &datagram, context.endpoint),
        Direction::Ingress => receiver::is_plain(&frame, &datagram, context.endpoint),
    };
    if !passes {
        return Decided::Unusual;
    }
    let flow = own_flow(context, &datagram);
    if pass_on(context, packet, &flow, &datagram) {
        return Decided::Held;
    }
    // Read once more, which is cheaper than to keep all of it over the look-up.
    let Some((frame, datagram)) = plain(packet) else { return Decided::Unusual };
    let outcome = Outcome::of(context.direction, context.endpoint.id);
    *seen = Seen { frame, datagram, outcome, flow: flow.key, epoch: context.epoch };
    Decided::Open
}
