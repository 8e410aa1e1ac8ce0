//! "Only my own namespace", in a tenant that has several.

use common::abi::Direction;

use super::subject::{Subject, isolates, name_of, warning};
use super::{LintFinding, LintRule};
use crate::model::{NamespaceScope, NetworkPolicy, Peer, Pod};

const NAME: &str = "same-tenant-shut";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A policy that admits its own namespace and shuts out the other namespaces of the same tenant.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in subject.policies() {
        for direction in Direction::ALL.into_iter().filter(|direction| admits_own(policy, *direction)) {
            let shut = subject.selected(policy).find_map(|pod| Some((pod, shut_out(subject, pod, direction)?)));
            let Some((pod, other)) = shut else { continue };
            let tenant = subject.tenant(pod).unwrap_or_default();
            let message = format!(
                "allows {} only {} its own namespace, so {} and tenant {tenant}'s other namespaces (for example {}) \
                 are cut off from each other",
                direction.name(),
                if direction == Direction::Ingress { "from" } else { "to" },
                pod.namespace,
                other.namespace
            );
            let remedy = format!("bulkhead policy template isolate-tenant --set tenant={tenant}");
            findings.push(warning(NAME, name_of(policy), format!("spec.{}", direction.name()), message, remedy));
        }
    }
    findings
}

/// True where a rule names the pods of the policy's own namespace.
fn admits_own(policy: &NetworkPolicy, direction: Direction) -> bool {
    let rules = isolates(policy, direction).into_iter().flatten();
    let is_own = |peer: &Peer| matches!(peer, Peer::Pods { namespaces: NamespaceScope::Own, .. });
    rules.flat_map(|rule| &rule.peers).any(is_own)
}

/// A pod of the same tenant in another namespace, where no rule of any policy admits any of them.
fn shut_out<'a>(subject: &Subject<'a>, pod: &Pod, direction: Direction) -> Option<&'a Pod> {
    let tenant = subject.membership(pod)?.tenant?;
    let is_sibling = |other: &&Pod| {
        other.namespace != pod.namespace && subject.membership(other).and_then(|it| it.tenant) == Some(tenant)
    };
    let siblings: Vec<&Pod> = subject.pods().filter(is_sibling).collect();
    let policies = subject.isolating(pod, direction);
    let rules = policies.iter().flat_map(|it| isolates(it, direction).into_iter().flatten().map(|rule| (*it, rule)));
    for (policy, rule) in rules {
        let admits = |other: &&Pod| rule.peers.iter().any(|peer| subject.matches(&policy.namespace, peer, other));
        if rule.peers.is_empty() || siblings.iter().any(admits) {
            return None;
        }
    }
    siblings.first().copied()
}
