//! Addresses and Services: what is called at an address and port changes once, from what it was to what it is to be.

use common::abi::{Lead, Peer, PeerKind, ServiceKey};

use super::ranges::{Ranges, is_of_pods};
use super::{changed, removed};
use crate::compile::Tables;
use crate::plan::Op;

/// Operations in an order that opens nothing on the way.
///
/// - A pod that no Service claims hides all Services at its address, a Service at an address hides those of all nodes, and
///   a longer range hides the shorter ones. An entry comes before what it hides and goes after it; what a pod hides
///   changes while it is hidden.
/// - An address of a pod range without a known pod must be allowed by itself and by what nodes have at the port. Ports of
///   nodes change once addresses that leave these are what they will be, and before others become such addresses.
/// - Ports of nodes are closed once those that were nodes are what they will be, and before others become nodes.
pub(super) fn changes(old: &Tables, new: &Tables) -> Vec<Op> {
    let was_hidden = |key: &ServiceKey| hides(old.peers.get(&key.address));
    let is_hidden = |key: &ServiceKey| hides(new.peers.get(&key.address));
    let is_of_nodes = |key: &ServiceKey| key.address.is_unspecified();
    let gone = || removed(&old.services, &new.services, |key| *key);
    let set = changed(&old.services, &new.services, |key, lead| (*key, *lead));
    let (hidden, shown): (Vec<_>, Vec<_>) = set.partition(|(key, _)| is_hidden(key));
    let (of_nodes, at_addresses): (Vec<_>, Vec<_>) = shown.into_iter().partition(|(key, _)| is_of_nodes(key));
    let Ranges { early, late } = Ranges::changes(old, new);
    let Peers { first, before_closing, last } = Peers::changes(old, new);

    let mut ops: Vec<Op> = at_addresses.into_iter().map(set_service).collect();
    ops.extend(gone().filter(was_hidden).map(remove_service));
    ops.extend(first);
    ops.extend(early);
    ops.extend(of_nodes.into_iter().map(set_service));
    ops.extend(before_closing);
    ops.extend(gone().filter(is_of_nodes).map(remove_service));
    ops.extend(last);
    ops.extend(hidden.into_iter().map(set_service));
    ops.extend(late);
    ops.extend(removed(&old.peers, &new.peers, |&address| Op::RemovePeer { address }));
    ops.extend(gone().filter(|key| !was_hidden(key) && !is_of_nodes(key)).map(remove_service));
    ops
}

/// Operations on addresses that have an entry of their own.
#[derive(Default)]
struct Peers {
    /// Before the ports of nodes change.
    first: Vec<Op>,
    /// Before ports of nodes are closed.
    before_closing: Vec<Op>,
    /// After that.
    last: Vec<Op>,
}

impl Peers {
    fn changes(old: &Tables, new: &Tables) -> Self {
        let mut peers = Self::default();
        for (address, peer) in changed(&old.peers, &new.peers, |address, peer| (*address, *peer)) {
            let op = Op::SetPeer { address, peer };
            if peer.is_pod() {
                peers.first.push(op);
                continue;
            }
            let before = old.peer_of(address.into());
            if is_of_pods(before) && !old.peers.contains_key(&address) {
                // The range may change before the address does: its word is kept until then.
                peers.first.push(Op::SetPeer { address, peer: before });
            }
            let later = if is_node(before) { &mut peers.before_closing } else { &mut peers.last };
            later.push(op);
        }
        peers.nodes_that_go(old, new);
        peers
    }

    /// An address that a node had is what its range says at once. The entry itself goes when the ranges are settled.
    fn nodes_that_go(&mut self, old: &Tables, new: &Tables) {
        for address in removed(&old.peers, &new.peers, |address| *address) {
            if !old.peers.get(&address).copied().is_some_and(is_node) {
                continue;
            }
            let peer = new.peer_of(address.into());
            let ops = if is_of_pods(peer) { &mut self.before_closing } else { &mut self.first };
            ops.push(Op::SetPeer { address, peer });
        }
    }
}

fn set_service((key, lead): (ServiceKey, Lead)) -> Op {
    Op::SetService { key, lead }
}

fn remove_service(key: ServiceKey) -> Op {
    Op::RemoveService { key }
}

fn hides(peer: Option<&Peer>) -> bool {
    peer.is_some_and(|peer| peer.hides_services())
}

fn is_node(peer: Peer) -> bool {
    matches!(peer.kind(), PeerKind::OwnNode | PeerKind::OtherNode)
}
