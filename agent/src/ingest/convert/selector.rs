//! Label selectors, with the API server's checks.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use policy::model::{Operator, Requirement, Selector};

use super::Report;
use crate::ingest::check;

/// What is wrong goes to `report`; the selector counts only where nothing is.
pub(super) fn selector(report: &mut Report<'_>, field: &str, selector: &LabelSelector) -> Selector {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        report.accept(format_args!("{field}.matchLabels"), check::qualified_name(key));
        report.accept(format_args!("{field}.matchLabels[{key}]"), check::label_value(value));
        let operator = Operator::In(BTreeSet::from([value.clone()]));
        requirements.push(Requirement { key: key.clone(), operator });
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        report.accept(format_args!("{field}.key"), check::qualified_name(&expression.key));
        if let Some(operator) = operator(report, &field, expression) {
            requirements.push(Requirement { key: expression.key.clone(), operator });
        }
    }
    Selector { requirements }
}

fn operator(report: &mut Report<'_>, field: &str, expression: &LabelSelectorRequirement) -> Option<Operator> {
    let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
    for (index, value) in expression.values.iter().flatten().enumerate() {
        report.accept(format_args!("{field}.values[{index}]"), check::label_value(value));
    }
    let name = expression.operator.as_str();
    let field = |name: &str| format!("{field}.{name}");
    match (name, values.is_empty()) {
        ("In", false) => Some(Operator::In(values)),
        ("NotIn", false) => Some(Operator::NotIn(values)),
        ("Exists", true) => Some(Operator::Exists),
        ("DoesNotExist", true) => Some(Operator::DoesNotExist),
        ("In" | "NotIn", true) => {
            report.error(field("values"), format!("is required with the operator {name}, name at least one value"));
            None
        }
        ("Exists" | "DoesNotExist", false) => {
            report.error(field("values"), format!("is not allowed with the operator {name}, leave it out"));
            None
        }
        _ => {
            report.error(field("operator"), format!("`{name}` must be one of In, NotIn, Exists, DoesNotExist"));
            None
        }
    }
}
