//! Label selectors (apimachinery `pkg/labels/selector.go`): requirements, all of which must hold.

use std::collections::BTreeSet;

use compact_str::CompactString;
use litemap::LiteMap;

/// The labels of an object: few, and read for every pod at every compile, so that they are one piece of memory.
pub type Labels = LiteMap<CompactString, CompactString>;

/// All requirements must hold; no requirement at all matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    pub requirements: Vec<Requirement>,
}

/// One condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
}

/// `NotIn` and `DoesNotExist` match where the key is absent; an empty string is a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// True for `{}`.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The label keys that the selector asks for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(|requirement| requirement.key.as_str())
    }
}

impl Requirement {
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(self.key.as_str()).map(CompactString::as_str);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_in_and_does_not_exist_match_an_absent_key() {
        let labels = Labels::from_iter([("a".into(), "".into())]);
        let requirement = |key: &str, operator| Requirement { key: key.to_owned(), operator };
        let empty = BTreeSet::from([String::new()]);
        assert!(requirement("b", Operator::NotIn(empty.clone())).matches(&labels));
        assert!(requirement("b", Operator::DoesNotExist).matches(&labels));
        assert!(requirement("a", Operator::In(empty.clone())).matches(&labels), "an empty string is a value");
        assert!(!requirement("a", Operator::NotIn(empty)).matches(&labels));
        assert!(!requirement("b", Operator::Exists).matches(&labels));
    }
}
