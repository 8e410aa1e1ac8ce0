//! Old rules meet new words while addresses change. Where they would let somebody in whom neither world lets in, because
//! one change is about both (a namespace's labels: its pods are subjects, and peers of others), the endpoint takes
//! nothing new for so long.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use common::abi::{Direction, Peer, PeerKind, PortKey, Profile, ProgramRef, RuleKey};
use common::decide::{Addresses, Question, Rules, Verdict, judge};

use super::super::sides::{Side, sides};
use crate::compile::Tables;

/// Judgements, about a tenth of a second. Of what takes more nobody knows, and it counts as opening something.
const MOST: usize = 250_000;

pub(super) struct Between<'a> {
    old: &'a Tables,
    new: &'a Tables,
    /// What some address is and will be.
    words: HashSet<(Peer, Peer)>,
    /// By profile before and after: whether anything opens.
    known: RefCell<HashMap<(Profile, Profile), bool>>,
    judged: Cell<usize>,
}

impl<'a> Between<'a> {
    pub(super) fn new(old: &'a Tables, new: &'a Tables) -> Self {
        let behind = |tables: &Tables, address| tables.range(address).unwrap_or(Peer::EXTERNAL);
        let words = sides(&old.peers, &new.peers).filter_map(|(address, side)| {
            let (was, is) = match side {
                Side::Both(was, is) => (*was, *is),
                Side::New(is) => (behind(old, address), *is),
                Side::Old(was) => (*was, behind(new, address)),
            };
            (was != is).then_some((was, is))
        });
        Self { old, new, words: words.collect(), known: RefCell::default(), judged: Cell::new(0) }
    }

    /// Whether the old rules of the endpoint in a slot would let somebody in, or let it reach somebody, where neither
    /// world does.
    pub(super) fn opens(&self, slot: u32) -> bool {
        let (Some(before), Some(after)) = (self.old.profile_of(slot), self.new.profile_of(slot)) else { return false };
        if before == after {
            return false;
        }
        if let Some(known) = self.known.borrow().get(&(*before, *after)) {
            return *known;
        }
        let opens = self
            .words
            .iter()
            .any(|words| Direction::ALL.into_iter().any(|direction| self.opens_for(before, after, *words, direction)));
        self.known.borrow_mut().insert((*before, *after), opens);
        opens
    }

    fn opens_for(&self, before: &Profile, after: &Profile, (was, is): (Peer, Peer), direction: Direction) -> bool {
        let cases = [(self.new, before, is), (self.old, before, was), (self.new, after, is)];
        let mut ports: Vec<u32> =
            cases.iter().flat_map(|(tables, profile, word)| lasts(tables, profile, *word, direction)).collect();
        ports.sort_unstable();
        ports.dedup();
        self.judged.set(self.judged.get() + 3 * ports.len());
        if self.judged.get() > MOST {
            return true;
        }
        ports.into_iter().any(|port| {
            let [between, was, will] = cases.map(|(tables, profile, word)| {
                // An address alone makes nobody the own node.
                let is_node = word.kind() == PeerKind::OwnNode && direction == Direction::Ingress;
                let peer = if is_node { word.with_kind(PeerKind::External) } else { word };
                let judgement = judge(tables, profile, Question { direction, peer, port: PortKey(port) });
                matches!(judgement.verdict, Verdict::Allow(_)) && judgement.refused.is_none()
            });
            between && !was && !will
        })
    }
}

/// Where the intervals end in which a profile says the same of a peer.
fn lasts(tables: &Tables, profile: &Profile, word: Peer, direction: Direction) -> impl Iterator<Item = u32> {
    let rules = profile.direction(direction);
    let rows = |key: RuleKey| tables.rule(&key);
    let programs = [
        Some(rules.none),
        rows(RuleKey::identity(rules.set, word.identity())),
        rows(RuleKey::class(rules.set, word.class())),
    ];
    let rows = programs.into_iter().flatten().flat_map(|it: ProgramRef| it.first()..it.first() + it.rows());
    rows.filter_map(|row| tables.port_row(row)).map(|row| row.last).chain([PortKey::LAST.0])
}
