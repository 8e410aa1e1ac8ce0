//! Policies that no node can hold.

use super::subject::Subject;
use super::{LintFinding, LintRule, Severity};

const NAME: &str = "too-much";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "NetworkPolicies of a namespace that ask for more than a node can hold: all of them then allow nothing.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let excesses = subject.engine.excesses().iter();
    excesses
        .map(|excess| {
            let object = format!("namespace/{}", excess.namespace);
            let text = excess.to_string();
            let (message, remedy) = text.rsplit_once(": ").unwrap_or((&text, ""));
            let message = message.split_once(": ").map_or(message, |(_, message)| message).to_owned();
            let remedy = remedy.to_owned();
            LintFinding { object, field: "spec".to_owned(), severity: Severity::Error, rule: NAME, message, remedy }
        })
        .collect()
}
