//! Random labels and selectors of labels.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::{NAMESPACES, object};

const KEYS: [&str; 2] = ["app", "role"];
/// An empty string is a value.
const VALUES: [&str; 3] = ["", "1", "2"];

pub fn labels() -> impl Strategy<Value = Value> {
    let label = || option::of(select(&VALUES[..]));
    [label(), label()].prop_map(|values| {
        let set = KEYS.into_iter().zip(values).filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
        Value::Object(set.collect())
    })
}

/// `matchLabels`, `matchExpressions`, both or neither.
pub fn selector() -> impl Strategy<Value = Value> {
    let pair = (select(&KEYS[..]), select(&VALUES[..])).prop_map(|(key, value)| json!({key: value}));
    (option::weighted(0.4, pair), option::weighted(0.4, vec(expression(), 0..3))).prop_map(|(pairs, expressions)| {
        object([("matchLabels", pairs), ("matchExpressions", expressions.map(Value::from))])
    })
}

/// Of namespaces, by their labels or their name.
pub fn of_namespaces() -> impl Strategy<Value = Value> {
    let by_name =
        select(&NAMESPACES[..]).prop_map(|name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}}));
    prop_oneof![2 => selector(), 1 => by_name]
}

fn expression() -> impl Strategy<Value = Value> {
    let key = || select(&KEYS[..]);
    let listed = (key(), select(&["In", "NotIn"][..]), subsequence(VALUES.to_vec(), 1..3))
        .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}));
    let bare = (key(), select(&["Exists", "DoesNotExist"][..]))
        .prop_map(|(key, operator)| json!({"key": key, "operator": operator}));
    prop_oneof![listed, bare]
}
