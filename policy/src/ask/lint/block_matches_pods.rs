//! An ipBlock is meant for what is outside the cluster, and matches pods too.

use super::subject::{Subject, counted, holds, warning};
use super::{LintFinding, LintRule};
use crate::model::{Block, Peer};

const NAME: &str = "block-matches-pods";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "An ipBlock that matches pods: it lets them through whatever their labels are.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for placed in subject.rules() {
        for (field, peer) in placed.peers() {
            let Peer::Block(block) = peer else { continue };
            let is_in = |block: &Block| {
                let addresses = subject.pods().flat_map(|pod| pod.addresses.iter().map(move |ip| (pod, *ip)));
                addresses.filter(|(_, ip)| holds(block, *ip)).map(|(pod, _)| pod.key()).collect::<Vec<_>>()
            };
            let mut pods = is_in(block);
            pods.dedup();
            let Some(first) = pods.first() else { continue };
            let message =
                format!("{} holds {} of this cluster, among them {first}", block.cidr, counted(pods.len(), "pod"));
            let remedy = "name pods by podSelector and namespaceSelector, and leave the pod ranges out with except";
            findings.push(warning(NAME, placed.policy, format!("{field}.ipBlock.cidr"), message, remedy));
        }
    }
    findings
}
