//! Label selectors, in the words of `meta/v1` `LabelSelector`: "matchLabels and matchExpressions are ANDed. An empty label
//! selector matches all objects."

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub type Labels = BTreeMap<String, String>;

pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let pairs = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    pairs.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.into_iter().all(|expression| holds(expression, labels))
}

/// "operator represents a key's relationship to a set of values." `NotIn` and `DoesNotExist` hold without the key.
fn holds(expression: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&expression.key);
    let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|listed| listed == value));
    match expression.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        operator => panic!("{operator} is no operator of the API"),
    }
}

/// A selector that asks for something.
pub fn has_requirements(selector: &LabelSelector) -> bool {
    let pairs = selector.match_labels.as_ref().is_some_and(|pairs| !pairs.is_empty());
    pairs || selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty())
}
