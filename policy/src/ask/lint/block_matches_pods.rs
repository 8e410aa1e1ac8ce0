//! An ipBlock is meant for what is outside the cluster, and matches pods too.

use super::subject::{Subject, counted, holds, name_of, warning};
use super::{LintFinding, LintRule};
use crate::model::{Action, Block, ClusterPeer, Peer, Pod};

const NAME: &str = "block-matches-pods";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "An ipBlock, or a network that is accepted, that matches pods: it lets them through whatever their labels are.",
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
            let among = if pods.len() > 1 { ", among them " } else { ": " };
            let message = format!("{} holds {} of this cluster{among}{first}", block.cidr, counted(pods.len(), "pod"));
            let remedy = "name pods by podSelector and namespaceSelector, and leave the pod ranges out with except";
            findings.push(warning(NAME, name_of(placed.policy), format!("{field}.ipBlock.cidr"), message, remedy));
        }
    }
    for placed in subject.cluster_rules().into_iter().filter(|placed| placed.rule.action == Action::Accept) {
        for (field, peer) in placed.peers() {
            let ClusterPeer::Networks(networks) = peer else { continue };
            for cidr in networks {
                let is_in = |pod: &Pod| pod.addresses.iter().any(|address| cidr.contains(address));
                let Some(pod) = subject.pods().find(|pod| is_in(pod)) else { continue };
                let message =
                    format!("{cidr} holds pods of this cluster, among them {}, and accepts them too", pod.key());
                let remedy = "name pods by pods, or deny the pod ranges in a rule before this one";
                findings.push(warning(NAME, placed.object(), format!("{field}.networks"), message, remedy));
            }
        }
    }
    findings
}
