//! Marks of tenancy that contradict each other.

use super::subject::Subject;
use super::{LintFinding, LintRule, Severity};
use crate::model::tenants::{Finding, ISOLATION_ANNOTATION};

const NAME: &str = "tenancy";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A namespace in quarantine because its marks of a tenant disagree, or an isolation annotation that names no mode.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let findings = subject.engine.findings().iter();
    findings
        .map(|finding| {
            let (object, field) = match finding {
                Finding::Quarantine { namespace, .. } => (format!("namespace/{namespace}"), "metadata".to_owned()),
                Finding::UnknownMode { object, .. } => {
                    (object.clone(), format!("metadata.annotations[{ISOLATION_ANNOTATION}]"))
                }
            };
            let text = finding.to_string();
            let text = text.strip_prefix(&format!("{object}: ")).unwrap_or(&text);
            let (message, remedy) = text.split_once("; ").unwrap_or((text, "make its marks agree"));
            let (message, remedy) = (message.to_owned(), remedy.to_owned());
            LintFinding { object, field, severity: Severity::Warning, rule: NAME, message, remedy }
        })
        .collect()
}
