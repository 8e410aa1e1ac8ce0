//! The namespaces of a world, for selectors and by name.

use super::label_index::LabelIndex;
use crate::model::{Selector, World};

/// Namespaces by their places in [`World::namespaces`].
pub(super) struct Namespaces<'a> {
    names: Vec<&'a str>,
    labels: LabelIndex<'a>,
}

impl<'a> Namespaces<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        Self {
            names: world.namespaces.keys().map(String::as_str).collect(),
            labels: LabelIndex::new(world.namespaces.values().map(|namespace| &namespace.labels).collect()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.binary_search(&name).ok()
    }

    /// As [`LabelIndex::matched`].
    pub(super) fn matched(&self, selector: &Selector) -> (Vec<usize>, usize) {
        self.labels.matched(selector)
    }
}
