//! Two maps side by side, in one pass over both: a change is small, and the world is not.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What a key has on the one side or on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side<'a, V, W> {
    Old(&'a V),
    New(&'a W),
    Both(&'a V, &'a W),
}

/// Every key of either map, ascending.
pub(super) fn sides<'a, K: Ord, V, W>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, W>,
) -> impl Iterator<Item = (&'a K, Side<'a, V, W>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => old.next().map(|(key, value)| (key, Side::Old(value))),
            Ordering::Greater => new.next().map(|(key, value)| (key, Side::New(value))),
            Ordering::Equal => {
                let ((key, before), (_, after)) = (old.next()?, new.next()?);
                Some((key, Side::Both(before, after)))
            }
        }
    })
}
