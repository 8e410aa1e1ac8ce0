//! Fragments: the later ones take their ports from the first one, which must have been allowed.

use super::keys::local_index;
use crate::abi::{Direction, FragmentKey, FragmentPorts};
use crate::decide::timeouts::{REASSEMBLY, is_alive};
use crate::decide::{Context, Seen, Tables};
use crate::parse::{Datagram, Fragment, Role, protocol};

/// Gives a later fragment the ports of its first one. False where that is not known.
#[inline(always)]
pub(super) fn recall<T: Tables>(context: &Context<'_, T>, datagram: &mut Datagram) -> bool {
    if !matches!(datagram.fragment, Fragment::Later) {
        return true;
    }
    let Some(ports) = context.tables.fragment(&key(context.endpoint.id, context.direction, datagram)) else {
        return false;
    };
    if !is_alive(ports.expires(), context.now) {
        return false;
    }
    datagram.source_port = ports.source();
    datagram.destination_port = ports.destination();
    datagram.role = match datagram.protocol {
        protocol::TCP | protocol::SCTP => Role::Continues,
        _ => Role::Datagram,
    };
    true
}

/// Keeps the ports of a first fragment that was allowed.
#[inline(always)]
pub(super) fn remember<T: Tables>(direction: Direction, tables: &T, Seen { datagram, outcome, now, .. }: &Seen) {
    if matches!(datagram.fragment, Fragment::First) {
        let expires = now.wrapping_add(REASSEMBLY);
        let ports = FragmentPorts::new(expires, datagram.source_port, datagram.destination_port);
        // Without room the later fragments drop, each with its reason.
        let _kept = tables.insert_fragment(&key(outcome.endpoint, direction, datagram), ports);
    }
}

#[inline(always)]
fn key(endpoint: u32, direction: Direction, datagram: &Datagram) -> FragmentKey {
    let (local, remote) = match direction {
        Direction::Egress => (&datagram.source, datagram.destination),
        Direction::Ingress => (&datagram.destination, datagram.source),
    };
    FragmentKey {
        endpoint,
        id: datagram.fragment_id,
        remote,
        protocol: datagram.protocol,
        direction: direction as u8,
        local: local_index(local),
        _zero: 0,
    }
}
