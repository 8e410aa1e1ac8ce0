//! The rows of the live sets: one a matching peer, each pointing to a program that peers share.

use std::collections::{BTreeMap, HashMap};

use common::abi::{DirectionRules, PortKey, PortRow, ProgramRef, RuleKey};

use super::CompileError;
use super::class::Classes;
use super::identity::{Identities, NamedPorts};
use super::ids::Digest;
use super::matching::{Matching, Pairs};
use super::numbering::Numbering;
use super::program::{Line, Span, rows};
use super::set::{Peers, PolicySet, SetRule};
use super::subjects::Sets;
use crate::model::tenants::Tenancy;
use crate::model::{ObjectRef, Port, Protocol};

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
pub(super) struct Rows<'a, 'n, 'h> {
    pub(super) identities: &'a Identities<'a>,
    pub(super) classes: &'a Classes<'a>,
    pub(super) tenancy: &'a Tenancy<'a>,
    pub(super) numbering: &'n mut Numbering<'h>,
    pub(super) compiled: Compiled,
}

impl<'a> Rows<'a, '_, '_> {
    pub(super) fn compile(mut self, sets: &'a Sets) -> Result<Compiled, CompileError> {
        self.compiled.identities = vec![0; self.identities.list.len()];
        self.compiled.classes = vec![0; self.classes.list.len()];
        let mut matching = Matching::new(self.identities, self.classes);
        for (content, set) in sets {
            self.set(*content, set, &mut matching)?;
        }
        Ok(self.compiled)
    }

    fn set(&mut self, content: Digest, set: &'a PolicySet, matching: &mut Matching<'a>) -> Result<(), CompileError> {
        let number = self.numbering.set(content)?;
        let sources = set.rules.iter().map(|rule| self.source(rule)).collect::<Result<Vec<_>, _>>()?;
        let any = (0..set.rules.len()).filter(|&rule| set.rules[rule].peers == Peers::Any).collect();
        let mut programs = Programs { set, sources, any, known: HashMap::new() };
        let none = self.program(&mut programs, &[], None)?;
        let (by_identity, by_class) = matching.pairs(set);
        let mut flags = 0;
        for (identity, matched) in groups(&by_identity) {
            let ports = &self.identities.port_sets[self.identities.list[identity].ports];
            let Some(program) = self.row(&mut programs, &matched, Some(ports))? else { continue };
            flags |= DirectionRules::IDENTITIES;
            let key = RuleKey::identity(number, self.identity(identity)?);
            self.compiled.rules.push((key, program));
        }
        for (class, matched) in groups(&by_class) {
            let ports = &self.classes.list[class].ports;
            let Some(program) = self.row(&mut programs, &matched, Some(ports))? else { continue };
            flags |= DirectionRules::CLASSES;
            let key = RuleKey::class(number, self.class(class)?);
            self.compiled.rules.push((key, program));
        }
        self.compiled.sets.insert(content, DirectionRules { none, set: number, flags });
        Ok(())
    }

    /// The program for a peer that these rules match, if one of them says anything about it.
    fn row(
        &mut self,
        programs: &mut Programs<'a>,
        matched: &[usize],
        named: Option<&NamedPorts<'_>>,
    ) -> Result<Option<ProgramRef>, CompileError> {
        let speaks = |&rule: &usize| !spans(&programs.set.rules[rule], named).is_empty();
        let speaking: Vec<usize> = matched.iter().copied().filter(speaks).collect();
        if speaking.is_empty() {
            return Ok(None);
        }
        self.program(programs, &speaking, named).map(Some)
    }

    /// The program of these rules and of those for any peer.
    fn program(
        &mut self,
        programs: &mut Programs<'a>,
        matched: &[usize],
        named: Option<&NamedPorts<'_>>,
    ) -> Result<ProgramRef, CompileError> {
        let lines = programs.lines(matched, named);
        let signature: Vec<_> = lines.iter().map(|(rule, line)| (*rule, line.spans.clone())).collect();
        if let Some(&program) = programs.known.get(&signature) {
            return Ok(program);
        }
        let lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
        let rows = rows(&lines);
        if rows.len() > ProgramRef::MAX_ROWS as usize {
            let rules = signature.iter().filter(|(_, spans)| spans != &[Span::ALL]);
            let rules = rules.flat_map(|(rule, _)| programs.set.rules[*rule].source.clone()).collect();
            return Err(CompileError::ProgramTooLong { rows: rows.len(), limit: ProgramRef::MAX_ROWS, rules });
        }
        let program = self.numbering.program(&rows)?;
        self.compiled.ports.extend((program.first()..).zip(rows));
        programs.known.insert(signature, program);
        Ok(program)
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

/// The programs of a set.
struct Programs<'a> {
    set: &'a PolicySet,
    /// By rule: the number of its source.
    sources: Vec<u32>,
    /// The rules for any peer, ascending.
    any: Vec<usize>,
    known: HashMap<Vec<(usize, Vec<Span>)>, ProgramRef>,
}

impl Programs<'_> {
    fn lines(&self, matched: &[usize], named: Option<&NamedPorts<'_>>) -> Vec<(usize, Line)> {
        let mut spoken = [matched, &self.any].concat();
        spoken.sort_unstable();
        let line = |index: usize| {
            let rule = &self.set.rules[index];
            let line = Line { tier: rule.tier, says: rule.says, rule: self.sources[index], spans: spans(rule, named) };
            (index, line)
        };
        spoken.into_iter().map(line).collect()
    }
}

/// The rules of each peer.
fn groups(pairs: &Pairs) -> impl Iterator<Item = (usize, Vec<usize>)> + '_ {
    pairs.chunk_by(|a, b| a.0 == b.0).map(|chunk| (chunk[0].0, chunk.iter().map(|pair| pair.1).collect()))
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
                spans.extend(own.flat_map(|(_, _, numbers)| numbers).map(|&number| span(*protocol, number, number)));
            }
        }
    }
    spans
}
