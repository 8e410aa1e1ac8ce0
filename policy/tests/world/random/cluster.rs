//! Random ClusterNetworkPolicies.

use common::abi::Direction;
use policy::model::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Pods, PolicyTier};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{CIDRS, port, selector};
use crate::world::net;

/// Few priorities, so that names decide now and then. The name is to be filled in.
pub(super) fn policy() -> impl Strategy<Value = ClusterNetworkPolicy> {
    let tier = select(&[PolicyTier::Admin, PolicyTier::Baseline][..]);
    let rules = |direction| vec(rule(direction), 0..3);
    (tier, 0..3u16, pods(), rules(Direction::Ingress), rules(Direction::Egress)).prop_map(
        |(tier, priority, subject, ingress, egress)| ClusterNetworkPolicy {
            name: String::new(),
            tier,
            priority,
            subject,
            ingress,
            egress,
        },
    )
}

fn pods() -> impl Strategy<Value = Pods> {
    (selector(), selector()).prop_map(|(namespaces, pods)| Pods { namespaces, pods })
}

fn rule(direction: Direction) -> impl Strategy<Value = ClusterRule> {
    let action = select(&[Action::Accept, Action::Deny, Action::Pass][..]);
    (action, vec(peer(direction), 1..3), vec(port(), 0..3)).prop_map(|(action, peers, ports)| ClusterRule {
        action,
        peers,
        ports,
    })
}

fn peer(direction: Direction) -> BoxedStrategy<ClusterPeer> {
    let pods = pods().prop_map(ClusterPeer::Pods);
    if direction == Direction::Ingress {
        return prop_oneof![12 => pods, 1 => Just(ClusterPeer::Unknown)].boxed();
    }
    let networks = vec(select(&CIDRS[..]), 1..3);
    prop_oneof![
        6 => pods,
        3 => networks.prop_map(|it| ClusterPeer::Networks(it.into_iter().map(net).collect())),
        3 => selector().prop_map(ClusterPeer::Nodes),
        1 => Just(ClusterPeer::Domains(vec!["example.com".to_owned()])),
        1 => Just(ClusterPeer::Unknown),
    ]
    .boxed()
}
