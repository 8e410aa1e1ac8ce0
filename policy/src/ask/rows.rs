//! Verdicts of one source towards everybody: judged once for each group of ends that are judged alike.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use common::abi::{Direction, Peer, TenantId};
use common::decide::{Judgement, Verdict};

use super::FlowPort;
use super::end::{Party, Role};
use super::engine::Engine;
use super::record::{Answer, DirectionRecord};

/// What tells two ends apart, for whoever judges them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Likeness<'p> {
    profile: Option<u32>,
    peer: Peer,
    v4: bool,
    /// Where some end is a node: a pod's own node is not like another's.
    node: Option<&'p str>,
    host: bool,
}

/// A group of ends that everybody judges alike, by its number.
pub(super) type Group = usize;

/// Ends, and the groups that they are in.
pub(super) struct Groups {
    pub of: Vec<Group>,
    /// One end of each group, as an index of the ends.
    first: Vec<usize>,
    sizes: Vec<usize>,
}

impl Groups {
    pub fn new(engine: &Engine<'_>, parties: &[Party]) -> Self {
        let hosts = parties.iter().any(|party| matches!(party.role, Role::Host { .. }));
        let mut numbers: HashMap<Likeness<'_>, Group> = HashMap::new();
        let mut groups = Self { of: Vec::with_capacity(parties.len()), first: Vec::new(), sizes: Vec::new() };
        for (index, party) in parties.iter().enumerate() {
            let group = *numbers.entry(likeness(engine, party, hosts)).or_insert_with(|| {
                groups.first.push(index);
                groups.sizes.push(0);
                groups.first.len() - 1
            });
            groups.of.push(group);
            groups.sizes[group] += 1;
        }
        groups
    }
}

fn likeness<'p>(engine: &Engine<'_>, party: &'p Party, hosts: bool) -> Likeness<'p> {
    let (profile, node, host) = match &party.role {
        Role::Pod { node, slot, .. } => (engine.profile_index(*slot), Some(node), false),
        Role::Host { node } => (None, Some(node), true),
        Role::Outside => (None, None, false),
    };
    let node = node.filter(|_| hosts).map(String::as_str);
    Likeness { profile, peer: party.peer, v4: party.address.is_ipv4(), node, host }
}

/// Every answer that occurred, by number: few, however many flows there are.
pub(super) struct Rows<'m> {
    engine: &'m Engine<'m>,
    parties: &'m [Party],
    groups: &'m Groups,
    ports: &'m [FlowPort],
    answers: Vec<Answer>,
    by_directions: HashMap<[u32; 2], u32>,
    records: Vec<Arc<DirectionRecord>>,
    by_judgement: HashMap<Decision, u32>,
    /// Of the groups that have more than one end.
    rows: HashMap<Group, Rc<[u32]>>,
}

/// All that a [`DirectionRecord`] depends on.
type Decision = Option<(Verdict, u32, Option<common::abi::DropReason>, TenantId)>;

/// The number of the answer about a pod's flow to itself.
pub(super) const TO_ITSELF: u32 = 0;
/// In place of an answer between two address families.
const OTHER_FAMILY: u32 = u32::MAX;

impl<'m> Rows<'m> {
    pub fn new(engine: &'m Engine<'m>, parties: &'m [Party], groups: &'m Groups, ports: &'m [FlowPort]) -> Self {
        let same = Arc::new(DirectionRecord::to_itself());
        Self {
            engine,
            parties,
            groups,
            ports,
            answers: vec![Answer::of(Arc::clone(&same), same)],
            by_directions: HashMap::new(),
            records: Vec::new(),
            by_judgement: HashMap::new(),
            rows: HashMap::new(),
        }
    }

    pub fn answer(&self, number: u32) -> &Answer {
        &self.answers[number as usize]
    }

    /// The answers about flows from an end of that group: by destination group, then by port.
    pub fn of(&mut self, group: Group) -> Rc<[u32]> {
        if let Some(row) = self.rows.get(&group) {
            return Rc::clone(row);
        }
        let from = &self.parties[self.groups.first[group]];
        let mut row = Vec::with_capacity(self.groups.first.len() * self.ports.len());
        for destination in &self.groups.first {
            let to = &self.parties[*destination];
            if from.same_family(to) {
                row.extend(self.ports.iter().map(|port| self.judge(from, to, *port)));
            } else {
                row.extend(self.ports.iter().map(|_| OTHER_FAMILY));
            }
        }
        let row: Rc<[u32]> = row.into();
        if self.groups.sizes[group] > 1 {
            self.rows.insert(group, Rc::clone(&row));
        }
        row
    }

    fn judge(&mut self, from: &Party, to: &Party, port: FlowPort) -> u32 {
        let directions = Direction::ALL.map(|direction| self.direction(direction, from, to, port));
        match self.by_directions.entry(directions) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let [egress, ingress] = directions.map(|number| Arc::clone(&self.records[number as usize]));
                self.answers.push(Answer::of(egress, ingress));
                *entry.insert(self.answers.len() as u32 - 1)
            }
        }
    }

    fn direction(&mut self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> u32 {
        let judged = self.engine.judge(direction, from, to, port);
        let decision = judged.as_ref().map(|judged| {
            let Judgement { verdict, rule, audited, .. } = judged.judgement;
            (verdict, rule, audited, judged.profile.tenant)
        });
        *self.by_judgement.entry(decision).or_insert_with(|| {
            let record = judged.map_or_else(DirectionRecord::not_judged, |judged| judged.record());
            self.records.push(Arc::new(record));
            self.records.len() as u32 - 1
        })
    }
}
