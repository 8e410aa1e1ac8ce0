//! Which directions must allow a packet, and who a flow that it enters was opened by (DESIGN.md §3.6).

use super::opener;
use crate::abi::{Direction, FlowKey, FlowState, Peer, Settings};
use crate::decide::receiver::as_receiver_sees;
use crate::decide::timeouts::is_alive;
use crate::decide::{Context, Tables};
use crate::parse::{Datagram, Role};

/// What must hold for a packet to pass.
pub(super) struct Demand {
    /// `BY_POD`: egress must allow. `BY_PEER`: ingress must allow.
    pub(super) must: u64,
    /// The flags of the flow that an allowed packet enters.
    pub(super) opener: u64,
    /// The other end is the pod's own node.
    by_node: bool,
}

impl Demand {
    /// True where nobody but the pod can have opened the flow.
    #[inline(always)]
    pub(super) const fn is_opened_by_pod(&self) -> bool {
        self.opener & (FlowState::BY_POD | FlowState::BY_PEER) == FlowState::BY_POD
    }

    /// The peer for a judgement in a direction.
    #[inline(always)]
    pub(super) const fn seen_from(&self, direction: Direction, peer: Peer) -> Peer {
        match direction {
            Direction::Egress => peer,
            Direction::Ingress => as_receiver_sees(peer, self.by_node),
        }
    }
}

/// The demand of a packet whose flow is `known` by its state, or is not.
#[inline(always)]
pub(super) fn of<T: Tables>(
    context: &Context<'_, T>,
    datagram: &Datagram,
    key: &FlowKey,
    known: Option<FlowState>,
    by_node: bool,
) -> Demand {
    let own = opener(context.direction);
    let both = FlowState::BY_POD | FlowState::BY_PEER;
    let in_window = is_alive(context.endpoint.adopt_until, context.now);
    let mut adopted = false;
    let (must, openers, by_node) = match (datagram.role, known) {
        (Role::Continues | Role::Answers | Role::Datagram | Role::Error, Some(state)) => {
            let openers = state.flags() & both;
            adopted = state.is(FlowState::ADOPTED) && in_window;
            let must = if state.is(FlowState::ADOPTED) && !in_window { both } else { openers };
            (must, openers, state.is(FlowState::BY_NODE))
        }
        (Role::Answers | Role::Continues, None) => {
            let answers = matches!(datagram.role, Role::Answers);
            let openers = if answers { both & !own } else { by_ports(key, &context.tables.settings()) };
            adopted = in_window && openers & own == 0;
            (if adopted { openers } else { openers | own }, openers, by_node)
        }
        _ => (own, own, by_node),
    };
    let node = if by_node && openers & FlowState::BY_PEER != 0 { FlowState::BY_NODE } else { 0 };
    let adopted = if adopted { FlowState::ADOPTED } else { 0 };
    Demand { must, opener: openers | node | adopted, by_node }
}

/// Who opened a flow of which only the middle is seen: the side whose port is ephemeral, or nobody can tell.
#[inline(always)]
fn by_ports(key: &FlowKey, settings: &Settings) -> u64 {
    let ephemeral = |port: u16| port >= settings.ephemeral_first && port <= settings.ephemeral_last;
    match (ephemeral(key.local_port()), ephemeral(key.remote_port())) {
        (true, false) => FlowState::BY_POD,
        (false, true) => FlowState::BY_PEER,
        _ => FlowState::BY_POD | FlowState::BY_PEER,
    }
}
