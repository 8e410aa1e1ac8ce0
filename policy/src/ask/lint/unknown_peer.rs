//! Peers that match nothing, or of which nobody knows what they match.

use super::subject::{Subject, warning};
use super::{LintFinding, LintRule};
use crate::model::{Action, ClusterPeer};

const NAME: &str = "unknown-peer";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A peer of a ClusterNetworkPolicy that is empty or of a kind that is not known: a rule that accepts then matches \
            nothing, any other denies everything. Domain names, which are not resolved, match nothing.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for placed in subject.cluster_rules() {
        for (field, peer) in placed.peers() {
            let message = match (peer, placed.rule.action) {
                (ClusterPeer::Unknown, Action::Accept) => "is not understood, so the rule matches nothing",
                (ClusterPeer::Unknown, Action::Deny | Action::Pass) => {
                    "is not understood, so the rule denies everything"
                }
                (ClusterPeer::Domains(_), _) => "names domains, which are not resolved, so it matches nothing",
                (ClusterPeer::Pods(_) | ClusterPeer::Networks(_) | ClusterPeer::Nodes(_), _) => continue,
            };
            let remedy = "use namespaces, pods, networks or nodes";
            findings.push(warning(NAME, placed.object(), field, message, remedy));
        }
    }
    findings
}
