//! Old rules meet new words while addresses change. Where they would let somebody in whom neither world lets in, because
//! one change is about both (a namespace's labels: its pods are subjects, and peers of others), the endpoint takes
//! nothing new for so long. Services are not asked about: one is let through only where all behind it are, so that what
//! is sent to it meanwhile arrives at a pod that one of the worlds lets be reached.

use std::collections::HashMap;

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
    words: Vec<(Peer, Peer)>,
    /// By profile before and after: whether anything opens.
    known: HashMap<(Profile, Profile), bool>,
    judged: usize,
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
        let mut words: Vec<_> = words.collect();
        words.sort_unstable_by_key(|(was, is)| (was.0, is.0));
        words.dedup();
        Self { old, new, words, known: HashMap::new(), judged: 0 }
    }

    /// Whether some address of the own node changes, or becomes or ceases to be one.
    pub(super) fn is_about_own_node(&self) -> bool {
        self.words.iter().any(|(was, is)| [was, is].into_iter().any(|word| word.kind() == PeerKind::OwnNode))
    }

    /// Whether the old rules of the endpoint in a slot would let somebody in, or let it reach somebody, where neither
    /// world does.
    pub(super) fn opens(&mut self, slot: u32) -> bool {
        let (Some(before), Some(after)) = (self.old.profile_of(slot), self.new.profile_of(slot)) else { return false };
        if before == after {
            return false;
        }
        if let Some(known) = self.known.get(&(*before, *after)) {
            return *known;
        }
        let mut asked = self.words.iter().flat_map(|words| Direction::ALL.map(|direction| (*words, direction)));
        let Self { old, new, judged, .. } = self;
        let opens = asked.any(|(words, direction)| {
            let question = Asked { before, after, words, direction };
            question.opens(old, new, judged)
        });
        self.known.insert((*before, *after), opens);
        opens
    }
}

/// An endpoint and somebody at the other end, in one direction.
struct Asked<'a> {
    before: &'a Profile,
    after: &'a Profile,
    words: (Peer, Peer),
    direction: Direction,
}

impl Asked<'_> {
    fn opens(&self, old: &Tables, new: &Tables, judged: &mut usize) -> bool {
        let Self { before, after, words: (was, is), direction } = *self;
        let cases = [(new, before, is), (old, before, was), (new, after, is)];
        let mut ports: Vec<u32> =
            cases.iter().flat_map(|(tables, profile, word)| lasts(tables, profile, *word, direction)).collect();
        ports.sort_unstable();
        ports.dedup();
        *judged += cases.len() * ports.len();
        if *judged > MOST {
            return true;
        }
        ports.into_iter().any(|port| {
            let [between, was, will] = cases.map(|(tables, profile, word)| {
                // An address alone makes nobody the own node.
                let is_node = word.kind() == PeerKind::OwnNode && direction == Direction::Ingress;
                let peer = if is_node { word.with_kind(PeerKind::External) } else { word };
                let judgement = judge(tables, profile, Question::new(direction, peer, PortKey(port)));
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
