//! Addresses and Services: what is called at an address and port changes once, from what it was to what it is to be.

use std::cmp::Reverse;

use common::abi::{Address, Lead, Peer, PeerKind, ServiceKey};
use ipnet::IpNet;

use super::{changed, removed};
use crate::compile::Tables;
use crate::plan::Op;

/// A pod that no Service claims hides all Services at its address, a Service hides nodes and ranges, a longer range the shorter ones. An address
/// of a pod range that nobody has must be allowed by itself and by what a node has at the port: it is open at no moment
/// to whom neither world opens it. So what
/// a pod hides is settled while it is hidden; what hides comes before what it hides, and goes after it.
pub(super) fn changes(old: &Tables, new: &Tables) -> Vec<Op> {
    let was_hidden = |key: &ServiceKey| hides(old.peers.get(&key.address));
    let is_hidden = |key: &ServiceKey| hides(new.peers.get(&key.address));
    let set = |&key: &ServiceKey, &lead: &Lead| Op::SetService { key, lead };
    let remove = |&key: &ServiceKey| Op::RemoveService { key };
    let is_of_nodes = |key: &ServiceKey| key.address.is_unspecified();

    let (of_nodes, at_addresses): (Vec<_>, Vec<_>) =
        changed(&old.services, &new.services, |key, lead| (*key, *lead)).partition(|(key, _)| is_of_nodes(key));
    // A Service at one address hides those of all nodes.
    let set_services = || at_addresses.iter().chain(&of_nodes).copied();
    let gone = || removed(&old.services, &new.services, |key| *key);
    let (nodes, others): (Vec<_>, Vec<_>) = changed(&old.peers, &new.peers, |address, peer| (*address, *peer))
        .partition(|(address, _)| is_node(old, address));
    let set_peer = |(address, peer)| Op::SetPeer { address, peer };

    let mut ops: Vec<Op> = set_services().filter(|(key, _)| !is_hidden(key)).map(|(key, it)| set(&key, &it)).collect();
    ops.extend(gone().filter(was_hidden).map(|key| remove(&key)));
    // Ports of nodes: closed once those that were nodes are what they will be, and those that were unknown are pods, and
    // before others become nodes.
    let (pods, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, peer)| peer.is_pod());
    ops.extend(nodes.into_iter().chain(pods).map(set_peer));
    ops.extend(gone().filter(is_of_nodes).map(|key| remove(&key)));
    ops.extend(others.into_iter().map(set_peer));
    ops.extend(set_services().filter(|(key, _)| is_hidden(key)).map(|(key, it)| set(&key, &it)));
    ops.extend(ranges(old, new));
    ops.extend(removed(&old.peers, &new.peers, |&address| Op::RemovePeer { address }));
    ops.extend(gone().filter(|key| !was_hidden(key) && !is_of_nodes(key)).map(|key| remove(&key)));
    ops
}

fn hides(peer: Option<&Peer>) -> bool {
    peer.is_some_and(|peer| peer.hides_services())
}

fn is_node(tables: &Tables, address: &Address) -> bool {
    tables.peers.get(address).is_some_and(|peer| matches!(peer.kind(), PeerKind::OwnNode | PeerKind::OtherNode))
}

/// Longest prefix first where they are set, shortest first where they go.
fn ranges(old: &Tables, new: &Tables) -> Vec<Op> {
    let mut longest_first: Vec<(&IpNet, &Peer)> =
        new.ranges.iter().filter(|(range, peer)| old.ranges.get(range) != Some(peer)).collect();
    longest_first.sort_by_key(|(range, _)| Reverse(range.prefix_len()));
    let mut shortest_first: Vec<IpNet> =
        old.ranges.keys().filter(|range| !new.ranges.contains_key(range)).copied().collect();
    shortest_first.sort_by_key(IpNet::prefix_len);
    let set = longest_first.into_iter().map(|(&range, &peer)| Op::SetRange { range, peer });
    set.chain(shortest_first.into_iter().map(|range| Op::RemoveRange { range })).collect()
}
