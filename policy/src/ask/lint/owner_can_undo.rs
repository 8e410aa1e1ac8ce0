//! Isolation that lies in the hands of whom it isolates.

use std::collections::BTreeSet;

use common::abi::Direction;

use super::subject::{Subject, isolates, name_of};
use super::{LintFinding, LintRule, Severity};
use crate::model::{Isolation, NetworkPolicy, Pod};

const NAME: &str = "owner-can-undo";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "NetworkPolicies that hold a tenant apart, in its own namespace: its owner can add one that opens everything. \
            A warning where tenancy does not isolate the tenant, a note where it does.",
    check,
};

/// One finding a namespace: what undoes one of its policies undoes them all.
fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for policy in subject.policies() {
        let Some(pod) = subject.selected(policy).next() else { continue };
        let Some(membership) = subject.membership(pod).filter(|membership| membership.tenant.is_some()) else {
            continue;
        };
        let restricts = Direction::ALL.into_iter().find(|direction| is_fence(subject, policy, *direction, pod));
        let Some(direction) = restricts.filter(|_| seen.insert(&policy.namespace)) else { continue };
        let tenant = subject.tenant(pod).unwrap_or_default();
        let held = matches!(membership.mode, Isolation::Baseline | Isolation::Strict);
        let (severity, kept) = if held {
            (Severity::Note, " (tenancy keeps other tenants out all the same)")
        } else {
            (Severity::Warning, "")
        };
        findings.push(LintFinding {
            object: name_of(policy),
            field: format!("spec.{}", direction.name()),
            severity,
            rule: NAME,
            message: format!(
                "holds tenant {tenant} apart, and whoever may write NetworkPolicies in {} can undo it with one more{kept}",
                policy.namespace
            ),
            remedy: "put what the owner must not undo into tenancy.mode or a ClusterNetworkPolicy of the Admin tier"
                .to_owned(),
        });
    }
    findings
}

/// True where all that the policy admits in this direction is the tenant's own.
fn is_fence(subject: &Subject<'_>, policy: &NetworkPolicy, direction: Direction, pod: &Pod) -> bool {
    let tenant = subject.membership(pod).and_then(|membership| membership.tenant);
    isolates(policy, direction).is_some_and(|rules| {
        rules.iter().all(|rule| {
            let is_own = |other: &Pod| subject.membership(other).and_then(|it| it.tenant) == tenant;
            let stranger = subject
                .pods()
                .filter(|other| !is_own(other))
                .find(|other| rule.peers.iter().any(|peer| subject.matches(&policy.namespace, peer, other)));
            let blocks = rule.peers.iter().any(|peer| matches!(peer, crate::model::Peer::Block(_)));
            !rule.peers.is_empty() && !blocks && stranger.is_none()
        })
    })
}
