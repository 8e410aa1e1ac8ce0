//! A policy that isolates nobody.

use super::subject::{Subject, warning};
use super::{LintFinding, LintRule};

const NAME: &str = "selects-nothing";

pub(super) const RULE: LintRule =
    LintRule { name: NAME, about: "A policy whose podSelector selects no pod of its namespace.", check };

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let idle = subject.policies().filter(|policy| subject.selected(policy).next().is_none());
    idle.map(|policy| {
        warning(
            NAME,
            policy,
            "spec.podSelector",
            format!("selects no pod of namespace {}, so the policy does nothing", policy.namespace),
            "correct the selector or metadata.namespace, or take the policy out",
        )
    })
    .collect()
}
