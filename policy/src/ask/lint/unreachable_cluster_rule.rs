//! Rules of ClusterNetworkPolicies that match nobody, or that an earlier one of the tier leaves nothing to decide.

use super::subject::{ClusterPlaced, Subject, warning};
use super::unreachable_rule::holds;
use super::{LintFinding, LintRule};
use crate::model::{ClusterPeer, Pods};

const NAME: &str = "unreachable-cluster-rule";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A rule of a ClusterNetworkPolicy whose peers match nobody, or before which another rule of the tier decides all of it.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let rules = subject.cluster_rules();
    let places = rules.iter().enumerate();
    places.filter_map(|(place, placed)| problem(subject, placed, &rules[..place])).collect()
}

/// `before`: the rules that come before this one, of all tiers and directions.
fn problem(subject: &Subject<'_>, placed: &ClusterPlaced<'_>, before: &[ClusterPlaced<'_>]) -> Option<LintFinding> {
    let warn = |message: String, remedy| Some(warning(NAME, placed.object(), placed.field(), message, remedy));
    if placed.rule.peers.iter().all(|peer| matches_nobody(subject, peer)) {
        return warn("none of its peers matches anything".to_owned(), "correct the selectors, or take the rule out");
    }
    let cover = before.iter().find(|earlier| covers(earlier, placed))?;
    let message = format!(
        "is never asked: {} {}[{}] decides all of it before",
        cover.object(),
        cover.direction.name(),
        cover.index
    );
    warn(message, "put this rule first, narrow the other one, or take this one out")
}

fn matches_nobody(subject: &Subject<'_>, peer: &ClusterPeer) -> bool {
    match peer {
        ClusterPeer::Pods(pods) => !subject.pods().any(|pod| subject.is_of(pods, pod)),
        ClusterPeer::Nodes(selector) => !subject.world.nodes.values().any(|node| selector.matches(&node.labels)),
        // What is known of them is said by another rule of the lint.
        ClusterPeer::Networks(_) | ClusterPeer::Domains(_) | ClusterPeer::Unknown => false,
    }
}

fn covers(earlier: &ClusterPlaced<'_>, placed: &ClusterPlaced<'_>) -> bool {
    let same_list = (earlier.policy.tier, earlier.direction) == (placed.policy.tier, placed.direction);
    let is_in = |peer: &ClusterPeer| earlier.rule.peers.iter().any(|wider| admits(wider, peer));
    let ports = earlier.rule.ports.is_empty()
        || !placed.rule.ports.is_empty()
            && placed.rule.ports.iter().all(|port| earlier.rule.ports.iter().any(|wider| holds(wider, port)));
    same_list
        && !earlier.rule.has_unknown_peer()
        && is_wider(&earlier.policy.subject, &placed.policy.subject)
        && placed.rule.peers.iter().all(is_in)
        && ports
}

fn admits(wider: &ClusterPeer, peer: &ClusterPeer) -> bool {
    match (wider, peer) {
        (ClusterPeer::Pods(wider), ClusterPeer::Pods(pods)) => is_wider(wider, pods),
        (ClusterPeer::Networks(wider), ClusterPeer::Networks(networks)) => {
            networks.iter().all(|network| wider.iter().any(|wider| wider.contains(network)))
        }
        (ClusterPeer::Nodes(wider), ClusterPeer::Nodes(nodes)) => wider.is_empty() || wider == nodes,
        (
            ClusterPeer::Pods(_)
            | ClusterPeer::Networks(_)
            | ClusterPeer::Nodes(_)
            | ClusterPeer::Domains(_)
            | ClusterPeer::Unknown,
            _,
        ) => false,
    }
}

fn is_wider(wider: &Pods, pods: &Pods) -> bool {
    let namespaces = wider.namespaces.is_empty() || wider.namespaces == pods.namespaces;
    namespaces && (wider.pods.is_empty() || wider.pods == pods.pods)
}
