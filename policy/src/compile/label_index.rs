//! Which of many sets of labels a selector matches, without asking each of them: a selector is held only against
//! those that have the rarest label it asks for. A tenant's many selectors cost what they match.

use std::collections::BTreeSet;

use super::hash::HashMap;
use crate::model::{Labels, Operator, Requirement, Selector};

/// Sets of labels, by their indices.
pub(super) struct LabelIndex<'a> {
    sets: Vec<&'a Labels>,
    /// By key and value: ascending.
    with: HashMap<&'a str, HashMap<&'a str, Vec<usize>>>,
}

impl<'a> LabelIndex<'a> {
    pub(super) fn new(sets: Vec<&'a Labels>) -> Self {
        let mut with: HashMap<&str, HashMap<&str, Vec<usize>>> = HashMap::default();
        for (index, labels) in sets.iter().enumerate() {
            for (key, value) in *labels {
                with.entry(key).or_default().entry(value).or_default().push(index);
            }
        }
        Self { sets, with }
    }

    /// The sets that the selector matches, ascending, and how many it was held against.
    pub(super) fn matched(&self, selector: &Selector) -> (Vec<usize>, usize) {
        let candidates = selector.requirements.iter().filter_map(|it| Some((it, self.candidates(it)?)));
        let fewest = candidates.min_by_key(|(_, lists)| lists.iter().map(|list| list.len()).sum::<usize>());
        let Some((met, lists)) = fewest else {
            return (self.without(&selector.requirements), self.sets.len());
        };
        let others = || selector.requirements.iter().filter(|other| !std::ptr::eq(*other, met));
        let matches = |index: &usize| others().all(|requirement| requirement.matches(self.sets[*index]));
        let held_against = lists.iter().map(|list| list.len()).sum();
        let mut matched: Vec<usize> = lists.into_iter().flatten().copied().filter(matches).collect();
        matched.sort_unstable();
        (matched, held_against)
    }

    /// Disjoint lists with all sets that meet a requirement; `None` where sets without the key do.
    fn candidates(&self, requirement: &Requirement) -> Option<Vec<&[usize]>> {
        match &requirement.operator {
            Operator::In(values) => Some(self.with_value(&requirement.key, values)),
            Operator::Exists => Some(self.with_key(&requirement.key)),
            Operator::NotIn(_) | Operator::DoesNotExist => None,
        }
    }

    /// All sets that meet these requirements, each of which sets without the key meet.
    fn without(&self, requirements: &[Requirement]) -> Vec<usize> {
        let mut is_left = vec![true; self.sets.len()];
        for requirement in requirements {
            let fail = match &requirement.operator {
                Operator::NotIn(values) => self.with_value(&requirement.key, values),
                Operator::DoesNotExist => self.with_key(&requirement.key),
                // These have candidates.
                Operator::In(_) | Operator::Exists => continue,
            };
            fail.into_iter().flatten().for_each(|&index| is_left[index] = false);
        }
        (0..).zip(is_left).filter_map(|(index, is_left)| is_left.then_some(index)).collect()
    }

    fn with_value(&self, key: &str, values: &BTreeSet<String>) -> Vec<&[usize]> {
        let by_value = self.with.get(key);
        values.iter().filter_map(|value| by_value?.get(value.as_str())).map(Vec::as_slice).collect()
    }

    fn with_key(&self, key: &str) -> Vec<&[usize]> {
        self.with.get(key).into_iter().flat_map(HashMap::values).map(Vec::as_slice).collect()
    }
}
