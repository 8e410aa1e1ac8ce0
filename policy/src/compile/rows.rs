//! The rows of the live sets: one a matching peer, each pointing to a program that peers share.

use std::collections::BTreeMap;

use common::abi::{DirectionRules, PortRow, ProgramRef, RuleKey};

use super::CompileError;
use super::budget::Resource;
use super::class::Classes;
use super::identity::{Identities, NamedPorts};
use super::ids::Digest;
use super::matching::{Matching, Pairs};
use super::meter::{Meter, Payer, Stop};
use super::namespaces::Namespaces;
use super::numbering::Numbering;
use super::program::{self, Span};
use super::set::{PolicySet, SetRule};
use super::set_programs::{Programs, Row, rules};
use super::settle::Taken;
use super::subjects::Sets;
use crate::model::ObjectRef;

/// What becomes of the live sets in the kernel.
#[derive(Default)]
pub(super) struct Compiled {
    /// What an endpoint's profile says of a set.
    pub(super) sets: BTreeMap<Digest, DirectionRules>,
    pub(super) rules: Vec<(RuleKey, ProgramRef)>,
    pub(super) ports: BTreeMap<u32, PortRow>,
    /// Numbers of what decided.
    pub(super) sources: BTreeMap<u32, Vec<ObjectRef>>,
    pub(super) numbers: Numbers,
}

/// Numbers, 0 where no row of a live set is about it.
#[derive(Default)]
pub(super) struct Numbers {
    /// By index.
    pub(super) identities: Vec<u32>,
    pub(super) classes: Vec<u32>,
}

/// What some row is about.
#[derive(Default)]
struct Mentioned {
    identities: Vec<bool>,
    classes: Vec<bool>,
}

/// Compiles every set against every identity and class.
pub(super) struct Rows<'a, 'n, 'h, 'm> {
    identities: &'a Identities<'a>,
    namespaces: &'a Namespaces<'a>,
    classes: &'a Classes<'a>,
    numbering: &'n mut Numbering<'h>,
    meter: &'n mut Meter<'m>,
    compiled: Compiled,
    mentioned: Mentioned,
    /// Rows of sets that only the compile before used.
    of_previous: usize,
}

impl<'a, 'n, 'h, 'm> Rows<'a, 'n, 'h, 'm> {
    pub(super) fn new(
        identities: &'a Identities<'a>,
        namespaces: &'a Namespaces<'a>,
        classes: &'a Classes<'a>,
        numbering: &'n mut Numbering<'h>,
        meter: &'n mut Meter<'m>,
    ) -> Self {
        let (compiled, mentioned) = Default::default();
        Self { identities, namespaces, classes, numbering, meter, compiled, mentioned, of_previous: 0 }
    }

    /// The rows of all live sets. `current`: those that this world's endpoints use.
    pub(super) fn of_sets(mut self, live: &'a Sets, current: &Sets) -> Result<Self, Stop> {
        self.mentioned.identities = vec![false; self.identities.list.len()];
        self.mentioned.classes = vec![false; self.classes.list.len()];
        let mut matching = Matching::new(self.identities, self.namespaces, self.classes);
        for (content, set) in live {
            let payer = self.meter.payer(content, set, current);
            let before = self.compiled.rules.len();
            self.set(*content, set, payer, &mut matching)?;
            if payer == Payer::Previous {
                self.of_previous += self.compiled.rules.len() - before;
            }
        }
        Ok(self)
    }

    /// What was compiled, with the numbers of identities, whose digests these are, and classes; if it fits.
    pub(super) fn numbered(mut self, digests: &[Digest], live: &Sets, current: &Sets) -> Result<Compiled, Stop> {
        self.number(digests)?;
        let taken = Taken {
            rules: self.compiled.rules.len() - self.of_previous,
            ports: self.compiled.ports.len(),
            ids: self.numbering.given(),
        };
        self.meter.settle(&taken, self.identities, live, current)?;
        Ok(self.compiled)
    }

    /// The rows of a set. Until [`Rows::number`] their keys have an index in the place of an identity's or a class's
    /// number.
    fn set(
        &mut self,
        content: Digest,
        set: &'a PolicySet,
        payer: Payer<'a>,
        matching: &mut Matching<'a>,
    ) -> Result<(), Stop> {
        let number = self.numbering.set(content)?;
        let sources = set.rules.iter().map(|rule| self.source(rule)).collect::<Result<Vec<_>, _>>()?;
        let mut programs = Programs::new(set, payer, sources);
        let none = self.program(&programs, &[], None)?;
        let matched = matching.pairs(set, self.meter.allowance(payer));
        let (by_identity, by_class, work) = matched.map_err(|work| self.meter.over(payer, Resource::Work, work))?;
        self.meter.spend(payer, work)?;
        let (identities, classes) = (self.identities, self.classes);
        let mut flags = 0;
        for pairs in groups(&by_identity) {
            let (index, identity) = (pairs[0].0, &identities.list[pairs[0].0 as usize]);
            let ports = &identities.port_sets[identity.ports];
            let Some(program) = self.row(&mut programs, pairs, ports, identity.pods)? else { continue };
            flags |= DirectionRules::IDENTITIES;
            self.mentioned.identities[index as usize] = true;
            self.compiled.rules.push((RuleKey::identity(number, index), program));
        }
        for pairs in groups(&by_class) {
            let class = pairs[0].0;
            let ports = &classes.list[class as usize].ports;
            let Some(program) = self.row(&mut programs, pairs, ports, 1)? else { continue };
            flags |= DirectionRules::CLASSES;
            self.mentioned.classes[class as usize] = true;
            self.compiled.rules.push((RuleKey::class(number, class), program));
        }
        self.meter.rows(payer, programs.paid.rows, programs.paid.pods)?;
        self.compiled.sets.insert(content, DirectionRules { none, set: number, flags });
        Ok(())
    }

    /// The program for a peer that the rules of these pairs match, if one of them says anything about it. So many pods
    /// are that peer.
    fn row(
        &mut self,
        programs: &mut Programs<'a>,
        pairs: &[(u32, u32)],
        named: &'a NamedPorts<'a>,
        pods: usize,
    ) -> Result<Option<ProgramRef>, Stop> {
        let named = Some(named).filter(|_| programs.names_ports);
        let row = match programs.found(pairs, named) {
            Some(row) => row,
            None => self.new_row(programs, pairs, named)?,
        };
        if row.is_paid {
            programs.paid.rows += 1;
            programs.paid.pods += pods;
        }
        Ok(row.program)
    }

    /// What the rules that match say is what those of them say that speak.
    fn new_row(
        &mut self,
        programs: &mut Programs<'a>,
        pairs: &[(u32, u32)],
        named: Option<&'a NamedPorts<'a>>,
    ) -> Result<Row, Stop> {
        let matched: Vec<usize> = rules(pairs).collect();
        let speaking: Vec<usize> = matched.iter().copied().filter(|rule| programs.speaks(*rule, named)).collect();
        let row = match programs.known(&speaking, named) {
            Some(row) => row,
            None if speaking.is_empty() => Row { program: None, is_paid: false },
            None => {
                let is_paid = speaking.iter().any(|rule| programs.set.rules[*rule].is_of_network_policy());
                let row = Row { program: Some(self.program(programs, &speaking, named)?), is_paid };
                if speaking != matched {
                    programs.remember(speaking, named, row);
                }
                row
            }
        };
        programs.remember(matched, named, row);
        Ok(row)
    }

    /// The program of these rules and of those for any peer.
    fn program(
        &mut self,
        programs: &Programs<'a>,
        speaking: &[usize],
        named: Option<&'a NamedPorts<'a>>,
    ) -> Result<ProgramRef, Stop> {
        let lines = programs.lines(speaking, named);
        let size = lines.iter().map(|line| 1 + line.spans.len()).sum();
        self.meter.spend(programs.payer, size)?;
        let rows = program::rows(&lines);
        if rows.len() > ProgramRef::MAX_ROWS as usize {
            return Err(self.too_long(programs, speaking, named, rows.len()));
        }
        self.meter.program(programs.payer, rows.len())?;
        let program = self.numbering.program(&rows)?;
        self.compiled.ports.extend((program.first()..).zip(rows));
        Ok(program)
    }

    /// The administrators' rules alone are too many, or else those of the namespace go.
    fn too_long(
        &self,
        programs: &Programs<'a>,
        matched: &[usize],
        named: Option<&NamedPorts<'_>>,
        rows: usize,
    ) -> Stop {
        if programs.payer != Payer::Administrators {
            return self.meter.over(programs.payer, Resource::Intervals, rows);
        }
        let spoken = programs.spoken(matched).into_iter().filter(|rule| programs.spans(*rule, named) != [Span::ALL]);
        let rules = spoken.flat_map(|rule| programs.set.rules[rule].source.clone()).collect();
        CompileError::ProgramTooLong { rows, limit: ProgramRef::MAX_ROWS, rules }.into()
    }

    fn source(&mut self, rule: &SetRule) -> Result<u32, CompileError> {
        let number = self.numbering.rule(&rule.source)?;
        self.compiled.sources.entry(number).or_insert_with(|| rule.source.clone());
        Ok(number)
    }

    /// Gives what some row is about its number. All at once, so that numbers ascend as indices do: rows are then sorted
    /// as they were made.
    fn number(&mut self, digests: &[Digest]) -> Result<(), CompileError> {
        for (content, is_mentioned) in digests.iter().zip(&self.mentioned.identities) {
            let number = if *is_mentioned { self.numbering.identity(*content)? } else { 0 };
            self.compiled.numbers.identities.push(number);
        }
        for (class, is_mentioned) in self.classes.list.iter().zip(&self.mentioned.classes) {
            let blocks = || class.blocks.iter().map(|&block| self.classes.blocks[block]).collect::<Vec<_>>();
            let content = || (blocks(), &class.ports, &class.nodes, class.unknown_pods);
            let number = if *is_mentioned { self.numbering.class(&content())? } else { 0 };
            self.compiled.numbers.classes.push(number);
        }
        for (key, _) in &mut self.compiled.rules {
            *key = match key.split() {
                Ok(identity) => RuleKey::identity(key.set, self.compiled.numbers.identities[identity as usize]),
                Err(class) => RuleKey::class(key.set, self.compiled.numbers.classes[class as usize]),
            };
        }
        Ok(())
    }
}

/// The pairs of each peer.
fn groups(pairs: &Pairs) -> impl Iterator<Item = &[(u32, u32)]> {
    pairs.chunk_by(|a, b| a.0 == b.0)
}
