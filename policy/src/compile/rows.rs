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
use super::numbering::Numbering;
use super::program::{Span, rows};
use super::set::{PolicySet, SetRule};
use super::set_programs::Programs;
use super::settle::Taken;
use super::subjects::Sets;
use crate::model::ObjectRef;
use crate::model::tenants::Tenancy;

/// What becomes of the live sets in the kernel.
#[derive(Default)]
pub(super) struct Compiled {
    /// What an endpoint's profile says of a set.
    pub(super) sets: BTreeMap<Digest, DirectionRules>,
    pub(super) rules: Vec<(RuleKey, ProgramRef)>,
    pub(super) ports: BTreeMap<u32, PortRow>,
    /// Numbers of what decided.
    pub(super) sources: BTreeMap<u32, Vec<ObjectRef>>,
    /// By identity: its number, 0 where no row of a live set is about it.
    pub(super) identities: Vec<u32>,
    /// By class.
    pub(super) classes: Vec<u32>,
}

/// Compiles every set against every identity and class.
pub(super) struct Rows<'a, 'n, 'h, 'm> {
    pub(super) identities: &'a Identities<'a>,
    pub(super) classes: &'a Classes<'a>,
    pub(super) tenancy: &'a Tenancy<'a>,
    pub(super) numbering: &'n mut Numbering<'h>,
    pub(super) meter: &'n mut Meter<'m>,
    pub(super) compiled: Compiled,
}

impl<'a> Rows<'a, '_, '_, '_> {
    /// `current`: the sets that this world's endpoints use, of all that are live.
    pub(super) fn compile(mut self, live: &'a Sets, current: &Sets) -> Result<Compiled, Stop> {
        self.compiled.identities = vec![0; self.identities.list.len()];
        self.compiled.classes = vec![0; self.classes.list.len()];
        let mut matching = Matching::new(self.identities, self.classes);
        let mut of_previous = 0;
        for (content, set) in live {
            let payer = self.meter.payer(content, set, current);
            let before = self.compiled.rules.len();
            self.set(*content, set, payer, &mut matching)?;
            if payer == Payer::Previous {
                of_previous += self.compiled.rules.len() - before;
            }
        }
        let taken = Taken {
            rules: self.compiled.rules.len() - of_previous,
            ports: self.compiled.ports.len(),
            ids: self.numbering.given(),
        };
        self.meter.settle(&taken, self.identities, live, current)?;
        Ok(self.compiled)
    }

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
        let none = self.program(&mut programs, &[], None)?;
        let matched = matching.pairs(set, self.meter.allowance(payer));
        let (by_identity, by_class, work) = matched.map_err(|work| self.meter.over(payer, Resource::Work, work))?;
        self.meter.spend(payer, work)?;
        let (identities, classes) = (self.identities, self.classes);
        let mut flags = 0;
        for pairs in groups(&by_identity) {
            let (index, identity) = (pairs[0].0, &identities.list[pairs[0].0]);
            let ports = &identities.port_sets[identity.ports];
            let Some(program) = self.row(&mut programs, pairs, ports, identity.pods)? else { continue };
            flags |= DirectionRules::IDENTITIES;
            let key = RuleKey::identity(number, self.identity(index)?);
            self.compiled.rules.push((key, program));
        }
        for pairs in groups(&by_class) {
            let class = pairs[0].0;
            let ports = &classes.list[class].ports;
            let Some(program) = self.row(&mut programs, pairs, ports, 1)? else { continue };
            flags |= DirectionRules::CLASSES;
            let key = RuleKey::class(number, self.class(class)?);
            self.compiled.rules.push((key, program));
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
        pairs: &[(usize, usize)],
        named: &'a NamedPorts<'a>,
        pods: usize,
    ) -> Result<Option<ProgramRef>, Stop> {
        let mut speaking = std::mem::take(&mut programs.speaking);
        speaking.clear();
        speaking.extend(pairs.iter().map(|(_, rule)| *rule).filter(|rule| programs.speaks(*rule, named)));
        let program = self.row_of(programs, &speaking, named, pods);
        programs.speaking = speaking;
        program
    }

    /// The program of rules that all say something about a peer; `None` where there are none.
    fn row_of(
        &mut self,
        programs: &mut Programs<'a>,
        speaking: &[usize],
        named: &'a NamedPorts<'a>,
        pods: usize,
    ) -> Result<Option<ProgramRef>, Stop> {
        if speaking.is_empty() {
            return Ok(None);
        }
        if speaking.iter().any(|rule| programs.set.rules[*rule].is_of_network_policy()) {
            programs.paid.rows += 1;
            programs.paid.pods += pods;
        }
        self.program(programs, speaking, Some(named)).map(Some)
    }

    /// The program of these rules and of those for any peer.
    fn program(
        &mut self,
        programs: &mut Programs<'a>,
        matched: &[usize],
        named: Option<&'a NamedPorts<'a>>,
    ) -> Result<ProgramRef, Stop> {
        let named = named.filter(|_| programs.names_ports);
        if let Some(program) = programs.found(matched, named) {
            return Ok(program);
        }
        let lines = programs.lines(matched, named);
        let size = lines.iter().map(|line| 1 + line.spans.len()).sum();
        self.meter.spend(programs.payer, size)?;
        let rows = rows(&lines);
        if rows.len() > ProgramRef::MAX_ROWS as usize {
            return Err(self.too_long(programs, matched, named, rows.len()));
        }
        self.meter.program(programs.payer, rows.len())?;
        let program = self.numbering.program(&rows)?;
        self.compiled.ports.extend((program.first()..).zip(rows));
        programs.remember(matched, named, program);
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

    fn identity(&mut self, identity: usize) -> Result<u32, CompileError> {
        if self.compiled.identities[identity] == 0 {
            let content = self.identities.content(&self.identities.list[identity], self.tenancy);
            self.compiled.identities[identity] = self.numbering.identity(&content)?;
        }
        Ok(self.compiled.identities[identity])
    }

    fn class(&mut self, class: usize) -> Result<u32, CompileError> {
        if self.compiled.classes[class] == 0 {
            let content = &self.classes.list[class];
            let blocks: Vec<_> = content.blocks.iter().map(|&block| self.classes.blocks[block]).collect();
            self.compiled.classes[class] = self.numbering.class(&(blocks, &content.ports, &content.nodes))?;
        }
        Ok(self.compiled.classes[class])
    }
}

/// The pairs of each peer.
fn groups(pairs: &Pairs) -> impl Iterator<Item = &[(usize, usize)]> {
    pairs.chunk_by(|a, b| a.0 == b.0)
}
