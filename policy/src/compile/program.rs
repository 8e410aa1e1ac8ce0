//! Rules to a program: disjoint port intervals, each with what decides there. The kernel never orders anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use common::abi::{PortKey, PortRow, Ranked};

use super::set::Tier;

/// A rule that matches a peer, with its ports resolved.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) tier: Tier,
    pub(super) says: Ranked,
    /// The number for what decided.
    pub(super) rule: u32,
    pub(super) spans: Vec<Span>,
}

/// An interval of [`PortKey`]s, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Span {
    pub(super) const ALL: Self = Self { first: 0, last: PortKey::LAST.0 };
}

/// The fewest rows that say what these rules say. Of two rules with one rank the earlier one is named.
pub(super) fn rows(lines: &[Line]) -> Vec<PortRow> {
    let mut starts: Vec<(Span, usize)> =
        lines.iter().enumerate().flat_map(|(line, it)| it.spans.iter().map(move |&span| (span, line))).collect();
    starts.sort_unstable();
    let mut edges: Vec<u32> = starts.iter().flat_map(|(span, _)| [span.first, span.last + 1]).collect();
    edges.extend([0, PortKey::LAST.0 + 1]);
    edges.sort_unstable();
    edges.dedup();

    let mut starts = starts.into_iter().peekable();
    let (mut admin, mut lower) = (Open::default(), Open::default());
    let mut rows: Vec<PortRow> = Vec::new();
    for edge in edges.windows(2) {
        while let Some((span, line)) = starts.next_if(|(span, _)| span.first == edge[0]) {
            match lines[line].tier {
                Tier::Admin => admin.push(lines[line].says, line, span.last),
                Tier::Lower => lower.push(lines[line].says, line, span.last),
            }
        }
        let (admin, admin_rule) = admin.first(edge[0], lines);
        let (lower, lower_rule) = lower.first(edge[0], lines);
        push(&mut rows, PortRow { last: edge[1] - 1, admin, lower, admin_rule, lower_rule, _zero: 0 });
    }
    rows
}

/// Appends a row, or lengthens the one before where both say the same.
fn push(rows: &mut Vec<PortRow>, row: PortRow) {
    match rows.last_mut() {
        Some(before) if PortRow { last: row.last, ..*before } == row => before.last = row.last,
        _ => rows.push(row),
    }
}

/// The rules of a tier whose intervals are open, the deciding one first.
#[derive(Default)]
struct Open(BinaryHeap<Reverse<(Ranked, usize, u32)>>);

impl Open {
    fn push(&mut self, says: Ranked, line: usize, last: u32) {
        self.0.push(Reverse((says, line, last)));
    }

    /// What decides at `key`: intervals that ended before it are forgotten.
    fn first(&mut self, key: u32, lines: &[Line]) -> (Ranked, u32) {
        while let Some(&Reverse((says, line, last))) = self.0.peek() {
            if last >= key {
                return (says, lines[line].rule);
            }
            self.0.pop();
        }
        (Ranked::NONE, 0)
    }
}
