//! Which of many sets of labels a selector matches, without asking each of them: a selector is held only against
//! those that have the rarest label it asks for. A tenant's many selectors cost what they match.

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
            let matches = |index: &usize| selector.matches(self.sets[*index]);
            return ((0..self.sets.len()).filter(matches).collect(), self.sets.len());
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
        let by_value = self.with.get(requirement.key.as_str());
        match &requirement.operator {
            Operator::In(values) => {
                let lists = values.iter().filter_map(|value| by_value?.get(value.as_str()));
                Some(lists.map(Vec::as_slice).collect())
            }
            Operator::Exists => Some(by_value.into_iter().flat_map(HashMap::values).map(Vec::as_slice).collect()),
            Operator::NotIn(_) | Operator::DoesNotExist => None,
        }
    }
}
