//! ClusterNetworkPolicies: their order, and their rules as rules of a set.

use common::abi::{AdminVerdict, Direction, LowerVerdict, Ranked};

use super::set::{Peers, Scope, SetPeer, SetRule, Tier, numbers};
use crate::model::{
    Action, Block, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Namespace, ObjectRef, Pod, PolicyTier, Port,
    RuleIndex, World,
};

/// All of a world in the order in which they are asked: by tier, priority and name.
pub(super) fn in_order(world: &World) -> Vec<&ClusterNetworkPolicy> {
    let mut policies: Vec<&ClusterNetworkPolicy> = world.cluster_network_policies.values().collect();
    policies.sort_by_key(|policy| (policy.tier, policy.priority, &policy.name));
    policies
}

pub(super) fn selects(policy: &ClusterNetworkPolicy, namespace: &Namespace, pod: &Pod) -> bool {
    policy.subject.namespaces.matches(&namespace.labels) && policy.subject.pods.matches(&pod.labels)
}

pub(super) fn rules_of(policy: &ClusterNetworkPolicy, direction: Direction) -> &[ClusterRule] {
    match direction {
        Direction::Egress => &policy.egress,
        Direction::Ingress => &policy.ingress,
    }
}

/// The rules of these policies, each of a lower rank than the one before.
pub(super) fn rules(direction: Direction, policies: &[&ClusterNetworkPolicy], judged: &Pod) -> Vec<SetRule> {
    let mut made = Vec::new();
    let mut ranks = [0, LowerVerdict::BASELINE_RANK];
    for policy in policies {
        for (index, rule) in rules_of(policy, direction).iter().enumerate() {
            let rank = &mut ranks[policy.tier as usize];
            let reference =
                ObjectRef::ClusterNetworkPolicy { name: policy.name.clone(), rule: RuleIndex { direction, index } };
            made.extend(set_rule(direction, policy.tier, *rank, rule, reference, judged));
            *rank += 1;
        }
    }
    made
}

/// `None` for a rule that matches nothing.
fn set_rule(
    direction: Direction,
    tier: PolicyTier,
    rank: u32,
    rule: &ClusterRule,
    reference: ObjectRef,
    judged: &Pod,
) -> Option<SetRule> {
    let (action, peers, ports) = match (rule.has_unknown_peer(), rule.action) {
        // Who it is about nobody knows: it must not let anybody in, nor leave to others who may be.
        (true, Action::Accept) => return None,
        (true, Action::Deny | Action::Pass) => (Action::Deny, Peers::Any, None),
        (false, action) => (action, Peers::Listed(peers(rule)), ports(direction, rule, judged)),
    };
    let matches_nothing = peers == Peers::Listed(Vec::new()) || ports.as_ref().is_some_and(Vec::is_empty);
    let (tier, says) = says(tier, rank, action);
    (!matches_nothing).then(|| SetRule { tier, says, source: vec![reference], peers, ports })
}

const fn says(tier: PolicyTier, rank: u32, action: Action) -> (Tier, Ranked) {
    match tier {
        PolicyTier::Admin => {
            let verdict = match action {
                Action::Accept => AdminVerdict::Accept,
                Action::Deny => AdminVerdict::Deny,
                Action::Pass => AdminVerdict::Pass,
            };
            (Tier::Admin, Ranked::admin(rank, verdict))
        }
        PolicyTier::Baseline => {
            let verdict = match action {
                Action::Accept => LowerVerdict::BaselineAccept,
                Action::Deny => LowerVerdict::BaselineDeny,
                Action::Pass => LowerVerdict::Pass,
            };
            (Tier::Lower, Ranked::lower(rank, verdict))
        }
    }
}

fn peers(rule: &ClusterRule) -> Vec<SetPeer> {
    let mut peers = Vec::new();
    for peer in &rule.peers {
        match peer {
            ClusterPeer::Pods(pods) => peers
                .push(SetPeer::Pods { namespaces: Scope::Selected(pods.namespaces.clone()), pods: pods.pods.clone() }),
            ClusterPeer::Networks(networks) => {
                peers.extend(networks.iter().map(|&cidr| SetPeer::Block(Block { cidr, except: Vec::new() })));
            }
            ClusterPeer::Nodes(selector) => peers.push(SetPeer::Nodes(selector.clone())),
            ClusterPeer::Domains(_) | ClusterPeer::Unknown => {}
        }
    }
    peers
}

/// `None`: whatever the port. A port's name is one of the destination's.
fn ports(direction: Direction, rule: &ClusterRule, judged: &Pod) -> Option<Vec<Port>> {
    match (rule.ports.as_slice(), direction) {
        ([], _) => None,
        (ports, Direction::Egress) => Some(ports.to_vec()),
        (ports, Direction::Ingress) => Some(ports.iter().flat_map(|port| numbers(port, judged)).collect()),
    }
}
