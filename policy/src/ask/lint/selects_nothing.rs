//! A policy that isolates nobody.

use super::subject::{Subject, cluster_name_of, name_of, warning};
use super::{LintFinding, LintRule};

const NAME: &str = "selects-nothing";

pub(super) const RULE: LintRule = LintRule { name: NAME, about: "A policy that selects no pod.", check };

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings: Vec<LintFinding> = subject
        .cluster_policies()
        .into_iter()
        .filter(|policy| !subject.pods().any(|pod| subject.is_of(&policy.subject, pod)))
        .map(|policy| {
            let remedy = "correct the selectors, or take the policy out";
            warning(NAME, cluster_name_of(policy), "spec.subject", "selects no pod, so the policy does nothing", remedy)
        })
        .collect();
    let idle = subject.policies().filter(|policy| subject.selected(policy).next().is_none());
    findings.extend(idle.map(|policy| {
        warning(
            NAME,
            name_of(policy),
            "spec.podSelector",
            format!("selects no pod of namespace {}, so the policy does nothing", policy.namespace),
            "correct the selector or metadata.namespace, or take the policy out",
        )
    }));
    findings
}
