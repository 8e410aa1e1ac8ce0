//! ClusterNetworkPolicies, read off the model: sorted, and asked rule by rule.

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, ObjectRef, Pod, Pods, PolicyTier, RuleIndex,
};

use super::{Case, Expected, Other};

impl Case<'_> {
    /// What a tier decides. `None` where it does not, or a rule leaves it.
    pub(super) fn tier(&self, tier: PolicyTier) -> Option<Expected> {
        let all = self.scene.world.cluster_network_policies.values();
        let mut policies: Vec<&ClusterNetworkPolicy> =
            all.filter(|policy| policy.tier == tier && self.are(&policy.subject, self.judged)).collect();
        policies.sort_by(|a, b| a.priority.cmp(&b.priority).then(a.name.cmp(&b.name)));
        for policy in policies {
            let rules = match self.direction {
                Direction::Egress => &policy.egress,
                Direction::Ingress => &policy.ingress,
            };
            for (index, rule) in rules.iter().enumerate() {
                let Some(action) = self.acts(rule) else { continue };
                let verdict = match action {
                    Action::Pass => return None,
                    Action::Accept => Verdict::Allow(AllowReason::ClusterPolicy),
                    Action::Deny if tier == PolicyTier::Baseline && matches!(self.other, Other::UnknownPod) => {
                        Verdict::Drop(DropReason::UnknownEndpoint)
                    }
                    Action::Deny => Verdict::Drop(DropReason::ClusterPolicy),
                };
                let rule = RuleIndex { direction: self.direction, index };
                let source = ObjectRef::ClusterNetworkPolicy { name: policy.name.clone(), rule };
                return Some(Expected { verdict, rules: vec![source] });
            }
        }
        None
    }

    /// What a rule does with the flow; `None` where it is about others.
    fn acts(&self, rule: &ClusterRule) -> Option<Action> {
        if rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown)) {
            return (rule.action != Action::Accept).then_some(Action::Deny);
        }
        let is_peer = match self.other {
            Other::UnknownPod => {
                rule.action != Action::Accept && rule.peers.iter().any(|peer| self.may_be_unknown(peer))
            }
            Other::Pod(_) | Other::OwnNode | Other::DistantNode | Other::Outside => {
                rule.peers.iter().any(|peer| self.is(peer))
            }
        };
        (is_peer && self.port_matches(&rule.ports)).then_some(rule.action)
    }

    fn is(&self, peer: &ClusterPeer) -> bool {
        match (peer, &self.other) {
            (ClusterPeer::Pods(pods), Other::Pod(pod)) => self.are(pods, pod),
            (ClusterPeer::Networks(networks), _) => networks.iter().any(|network| network.contains(&self.address)),
            (ClusterPeer::Nodes(selector), Other::OwnNode | Other::DistantNode | Other::Outside) => {
                let own = self.scene.node.addresses.contains(&self.address);
                let nodes = self.scene.world.nodes.values();
                let mut nodes = nodes.filter(|node| selector.matches(&node.labels));
                nodes.any(|node| node.addresses.contains(&self.address) || own && node.name == self.scene.node.name)
            }
            _ => false,
        }
    }

    /// What Deny and Pass hold an unknown pod's address to be: within networks, or any pod of any namespace.
    fn may_be_unknown(&self, peer: &ClusterPeer) -> bool {
        match peer {
            ClusterPeer::Pods(Pods { namespaces, pods }) => namespaces.is_empty() && pods.is_empty(),
            ClusterPeer::Networks(networks) => networks.iter().any(|network| network.contains(&self.address)),
            ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) | ClusterPeer::Unknown => false,
        }
    }

    fn are(&self, pods: &Pods, pod: &Pod) -> bool {
        let namespace = &self.scene.world.namespaces[&pod.namespace];
        pods.namespaces.matches(&namespace.labels) && pods.pods.matches(&pod.labels)
    }
}
