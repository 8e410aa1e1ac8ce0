//! The programs of one set: which rules speak of a peer, and what was compiled of them already.

use common::abi::{PortKey, ProgramRef};

use super::hash::HashMap;
use super::identity::NamedPorts;
use super::meter::Payer;
use super::program::{Line, Span};
use super::set::{Peers, PolicySet, SetRule};
use crate::model::{Port, Protocol};

/// The programs of a set.
pub(super) struct Programs<'a> {
    pub(super) set: &'a PolicySet,
    pub(super) payer: Payer<'a>,
    /// By rule: the number of its source.
    sources: Vec<u32>,
    /// By rule: its ports, where none has a name.
    fixed: Vec<Option<Vec<Span>>>,
    /// True where some rule's ports have names.
    pub(super) names_ports: bool,
    /// The rules for any peer, ascending.
    any: Vec<usize>,
    /// By the names that peers have for their ports, and the rules that match.
    known: HashMap<Option<&'a NamedPorts<'a>>, HashMap<Vec<usize>, Row>>,
    /// The one that was used last: neighbours are mostly matched by the same rules.
    last: Option<Last<'a>>,
    /// Memory for the rules of the next one.
    matched: Vec<usize>,
    /// Rows that a NetworkPolicy has a say in.
    pub(super) paid: Paid,
}

/// What peers have that the same rules match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// `None`: no row at all, as none of the rules says anything about them.
    pub(super) program: Option<ProgramRef>,
    /// A NetworkPolicy has a say in it.
    pub(super) is_paid: bool,
}

struct Last<'a> {
    named: Option<&'a NamedPorts<'a>>,
    matched: Vec<usize>,
    row: Row,
}

/// Rows, and the pods of their identities.
#[derive(Default)]
pub(super) struct Paid {
    pub(super) rows: usize,
    pub(super) pods: usize,
}

impl<'a> Programs<'a> {
    pub(super) fn new(set: &'a PolicySet, payer: Payer<'a>, sources: Vec<u32>) -> Self {
        let has_name = |rule: &SetRule| rule.ports.iter().flatten().any(|port| matches!(port, Port::Named(..)));
        let fixed = set.rules.iter().map(|rule| (!has_name(rule)).then(|| spans(rule, None)));
        Self {
            set,
            payer,
            sources,
            fixed: fixed.collect(),
            names_ports: set.rules.iter().any(has_name),
            any: (0..set.rules.len()).filter(|&rule| set.rules[rule].peers == Peers::Any).collect(),
            known: HashMap::default(),
            last: None,
            matched: Vec::new(),
            paid: Paid::default(),
        }
    }

    /// What a peer has that the rules of these pairs match, where that is known already.
    pub(super) fn found(&mut self, pairs: &[(u32, u32)], named: Option<&'a NamedPorts<'a>>) -> Option<Row> {
        self.matched.clear();
        self.matched.extend(rules(pairs));
        // Most are the same in memory; two that are only equal are found below.
        let is_same = |last: &&Last<'_>| {
            last.named.map(std::ptr::from_ref) == named.map(std::ptr::from_ref) && last.matched == self.matched
        };
        if let Some(last) = self.last.as_ref().filter(is_same) {
            return Some(last.row);
        }
        let row = self.known(&self.matched, named)?;
        let memory = self.last.take().map_or_else(Vec::new, |last| last.matched);
        self.last = Some(Last { named, matched: std::mem::replace(&mut self.matched, memory), row });
        Some(row)
    }

    pub(super) fn known(&self, matched: &[usize], named: Option<&'a NamedPorts<'a>>) -> Option<Row> {
        self.known.get(&named)?.get(matched).copied()
    }

    pub(super) fn remember(&mut self, matched: Vec<usize>, named: Option<&'a NamedPorts<'a>>, row: Row) {
        self.known.entry(named).or_default().insert(matched.clone(), row);
        self.last = Some(Last { named, matched, row });
    }

    /// True where a rule says anything about a peer with these names for its ports.
    pub(super) fn speaks(&self, rule: usize, named: Option<&NamedPorts<'_>>) -> bool {
        match &self.fixed[rule] {
            Some(spans) => !spans.is_empty(),
            None => !spans(&self.set.rules[rule], named).is_empty(),
        }
    }

    pub(super) fn spans(&self, rule: usize, named: Option<&NamedPorts<'_>>) -> Vec<Span> {
        self.fixed[rule].clone().unwrap_or_else(|| spans(&self.set.rules[rule], named))
    }

    pub(super) fn spoken(&self, matched: &[usize]) -> Vec<usize> {
        let mut spoken = [matched, &self.any].concat();
        spoken.sort_unstable();
        spoken
    }

    pub(super) fn lines(&self, matched: &[usize], named: Option<&NamedPorts<'_>>) -> Vec<Line> {
        let line = |index: usize| {
            let rule = &self.set.rules[index];
            Line { tier: rule.tier, says: rule.says, rule: self.sources[index], spans: self.spans(index, named) }
        };
        self.spoken(matched).into_iter().map(line).collect()
    }
}

/// The rules of pairs.
pub(super) fn rules(pairs: &[(u32, u32)]) -> impl Iterator<Item = usize> {
    pairs.iter().map(|(_, rule)| *rule as usize)
}

/// The ports of a rule, with names looked up among the peer's own.
fn spans(rule: &SetRule, named: Option<&NamedPorts<'_>>) -> Vec<Span> {
    let Some(ports) = &rule.ports else { return vec![Span::ALL] };
    let span = |protocol: Protocol, first: u16, last: u16| Span {
        first: PortKey::new(protocol.number(), first).0,
        last: PortKey::new(protocol.number(), last).0,
    };
    let mut spans = Vec::with_capacity(ports.len());
    for port in ports {
        match port {
            Port::All(protocol) => spans.push(span(*protocol, 0, u16::MAX)),
            Port::Range(protocol, first, last) => spans.push(span(*protocol, *first, *last)),
            Port::Named(protocol, name) => {
                let own = named.into_iter().flatten().filter(|(p, n, _)| p == protocol && n == name);
                spans.extend(own.map(|&(_, _, number)| span(*protocol, number, number)));
            }
        }
    }
    spans
}
