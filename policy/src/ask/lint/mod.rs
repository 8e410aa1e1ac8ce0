//! What somebody should look at in the policies of a world: rules that do not do what they look like. A rule of the lint
//! is a file; each finding names the object, the field and the remedy.

mod block_matches_pods;
mod dns_forgotten;
mod kubelet_as_proxy;
mod owner_can_undo;
mod priority_tie;
mod same_tenant_shut;
mod selects_nothing;
mod service_target_shut;
mod subject;
mod tenancy;
mod too_much;
mod unknown_label;
mod unknown_peer;
mod unreachable_cluster_rule;
mod unreachable_rule;

use serde::Serialize;

use super::Engine;
use crate::model::{Config, World};
use subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object most likely does not do what was meant.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LintFinding {
    /// `networkpolicy/NAMESPACE/NAME` and the like.
    pub object: String,
    /// Path of the field, as in `spec.ingress[0].from[1]`.
    pub field: String,
    pub severity: Severity,
    /// A [`LintRule::name`].
    pub rule: &'static str,
    pub message: String,
    pub remedy: String,
}

/// One of the things that are looked for.
#[derive(Clone, Copy, Debug)]
pub struct LintRule {
    pub name: &'static str,
    pub about: &'static str,
    check: fn(&Subject<'_>) -> Vec<LintFinding>,
}

/// Everything that is looked for in a world.
pub const LINT_RULES: [LintRule; 14] = [
    block_matches_pods::RULE,
    dns_forgotten::RULE,
    kubelet_as_proxy::RULE,
    owner_can_undo::RULE,
    priority_tie::RULE,
    same_tenant_shut::RULE,
    selects_nothing::RULE,
    service_target_shut::RULE,
    tenancy::RULE,
    too_much::RULE,
    unknown_label::RULE,
    unknown_peer::RULE,
    unreachable_rule::RULE,
    unreachable_cluster_rule::RULE,
];

impl Engine<'_> {
    /// What is odd about the world's policies, in the order of objects and fields.
    #[must_use]
    pub fn lint(&self, config: &Config) -> Vec<LintFinding> {
        let subject = Subject::new(self, config);
        let mut findings: Vec<LintFinding> = LINT_RULES.iter().flat_map(|rule| (rule.check)(&subject)).collect();
        findings.sort();
        findings
    }
}
