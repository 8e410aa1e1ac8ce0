//! Ranges of addresses: each address changes once, from the word of its old range to that of its new one.

use std::cmp::Reverse;

use common::abi::{Peer, PeerKind};
use ipnet::IpNet;

use crate::compile::Tables;
use crate::plan::Op;

/// Operations on ranges.
pub(super) struct Ranges {
    /// For addresses of pod ranges without a known pod, which the ports of nodes concern.
    pub early: Vec<Op>,
    /// For all others.
    pub late: Vec<Op>,
}

impl Ranges {
    /// Ranges are set longest first and go shortest first. A pod range that goes takes the word of what is left in its
    /// place early, unless that is a pod range, too.
    pub fn changes(old: &Tables, new: &Tables) -> Self {
        let changed = new.ranges.iter().filter(|(range, peer)| old.ranges.get(range) != Some(peer));
        let (mut early, mut late): (Vec<(IpNet, Peer)>, Vec<_>) = changed
            .map(|(&range, &peer)| (range, peer))
            .partition(|(range, _)| old.range_of(*range).is_some_and(is_of_pods));
        let gone: Vec<(&IpNet, &Peer)> =
            old.ranges.iter().filter(|(range, _)| !new.ranges.contains_key(range)).collect();
        for (range, _) in gone.iter().filter(|(_, peer)| is_of_pods(**peer)) {
            let left = new.range_of(**range).unwrap_or(Peer::EXTERNAL);
            if !is_of_pods(left) {
                early.push((**range, left));
            }
        }
        let mut gone: Vec<IpNet> = gone.into_iter().map(|(range, _)| *range).collect();
        gone.sort_by_key(IpNet::prefix_len);
        early.sort_by_key(|(range, _)| Reverse(range.prefix_len()));
        late.sort_by_key(|(range, _)| Reverse(range.prefix_len()));
        let set = |(range, peer)| Op::SetRange { range, peer };
        let remove = |range| Op::RemoveRange { range };
        Self {
            early: early.into_iter().map(set).collect(),
            late: late.into_iter().map(set).chain(gone.into_iter().map(remove)).collect(),
        }
    }
}

/// True for the word of addresses of pod ranges without a known pod.
pub(super) fn is_of_pods(peer: Peer) -> bool {
    peer.kind() == PeerKind::UnknownPod
}
