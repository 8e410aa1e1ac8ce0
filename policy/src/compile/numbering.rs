//! Gives out numbers: the same thing has the same number again, and a number that is in use for something
//! else is not touched.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::RangeInclusive;

use common::abi::{Peer, PortRow, ProgramRef, TenantId};

use super::CompileError;
use super::hash::{HashMap, RandomState};
use super::ids::{ContentHash, Digest, Id, Ids, Kind, program_length};

/// Numbers of one compile, on top of those that the kernel holds.
pub(super) struct Numbering<'a> {
    held: &'a Ids,
    hash: ContentHash,
    held_by_digest: ByDigest,
    /// Where the search for a free number goes on, by kind and first number.
    next: BTreeMap<(Kind, u32), u32>,
    free_rows: FreeRows,
    /// In the order in which they were given, each once.
    given: Vec<(Id, Digest)>,
    given_by_digest: ByDigest,
}

type ByDigest = HashMap<(Kind, Digest), u32>;

impl<'a> Numbering<'a> {
    pub(super) fn new(held: &'a Ids) -> Self {
        // Reversed, so that the smallest of several numbers with one digest is kept.
        let held_by_digest = held.0.iter().rev().map(|(id, &digest)| ((id.kind, digest), id.number)).collect();
        Self {
            held,
            hash: held.hash(),
            held_by_digest,
            next: BTreeMap::new(),
            free_rows: FreeRows::new(held),
            given: Vec::with_capacity(held.0.len()),
            given_by_digest: HashMap::with_capacity_and_hasher(held.0.len(), RandomState::default()),
        }
    }

    /// How many numbers this compile has used so far.
    pub(super) fn given(&self) -> usize {
        self.given_by_digest.len()
    }

    /// Every number that this compile uses, and the node's secret.
    pub(super) fn into_ids(self) -> Ids {
        let secret = self.held.0.get(&Id::SECRET).map(|&secret| (Id::SECRET, secret));
        Ids(self.given.into_iter().chain(secret).collect())
    }

    pub(super) fn identity(&mut self, content: Digest) -> Result<u32, CompileError> {
        self.once(Kind::Identity, content, "identities", Peer::MAX_IDENTITY, "let fewer labels be selected on")
    }

    pub(super) fn class(&mut self, content: &impl Hash) -> Result<u32, CompileError> {
        self.once(Kind::Class, self.hash.digest(content), "CIDR classes", Peer::MAX_CLASS, "let fewer ipBlocks overlap")
    }

    pub(super) fn set(&mut self, content: Digest) -> Result<u32, CompileError> {
        self.number(Kind::Set, content, "policy sets", 1..=i32::MAX as u32, "run fewer pods on the node")
    }

    pub(super) fn tenant(&mut self, content: &impl Hash, quarantine: bool) -> Result<TenantId, CompileError> {
        let numbers = if quarantine {
            // The largest number of all is no tenant's: the row of counters that takes what has no room.
            TenantId::QUARANTINE + 1..=TenantId::MAX - 1
        } else {
            1..=TenantId::QUARANTINE - 1
        };
        self.number(Kind::Tenant, self.hash.digest(content), "tenants", numbers, "let fewer tenants share the cluster")
            .map(TenantId)
    }

    pub(super) fn rule(&mut self, content: &impl Hash) -> Result<u32, CompileError> {
        self.number(
            Kind::Rule,
            self.hash.digest(content),
            "rules",
            1..=u32::MAX,
            "write fewer rules for one node's pods",
        )
    }

    /// Index 0 stays unwritten: an endpoint without a profile drops.
    pub(super) fn profile(&mut self, content: &impl Hash) -> Result<u32, CompileError> {
        self.number(Kind::Profile, self.hash.digest(content), "profiles", 1..=u32::MAX, "run fewer pods on the node")
    }

    /// Number 0 stays unwritten: nobody can tell what is behind it.
    pub(super) fn backends(&mut self, content: &impl Hash) -> Result<u32, CompileError> {
        let remedy = "let fewer Services be called";
        self.number(Kind::Backends, self.hash.digest(content), "groups of backends", 1..=u32::MAX, remedy)
    }

    /// The place of a program's rows.
    pub(super) fn program(&mut self, rows: &[PortRow]) -> Result<ProgramRef, CompileError> {
        let length = rows.len() as u32;
        let mut content = self.hash.digest(&rows);
        content[12..].copy_from_slice(&length.to_be_bytes());
        let known = (Kind::Program, content);
        let first = match self.given_by_digest.get(&known).or_else(|| self.held_by_digest.get(&known)) {
            Some(&first) => first,
            None => self.free_rows.take(length).ok_or(CompileError::Full {
                what: "port intervals",
                limit: u32::MAX,
                remedy: "write fewer rules that name ports",
            })?,
        };
        self.give(known, first);
        Ok(ProgramRef::new(first, length))
    }

    /// A number for a thing that is asked for once: a second one with its digest is another thing.
    fn once(
        &mut self,
        kind: Kind,
        content: Digest,
        what: &'static str,
        last: u32,
        remedy: &'static str,
    ) -> Result<u32, CompileError> {
        let given = self.given.len();
        let number = self.number(kind, content, what, 1..=last, remedy)?;
        if self.given.len() > given { Ok(number) } else { Err(CompileError::Collision { what }) }
    }

    fn number(
        &mut self,
        kind: Kind,
        content: Digest,
        what: &'static str,
        numbers: RangeInclusive<u32>,
        remedy: &'static str,
    ) -> Result<u32, CompileError> {
        let known = (kind, content);
        if let Some(&number) = self.given_by_digest.get(&known) {
            return Ok(number);
        }
        let number = match self.held_by_digest.get(&known) {
            Some(&number) => number,
            None => {
                let next = self.next.get(&(kind, *numbers.start())).copied().unwrap_or(*numbers.start());
                let free = (next..=*numbers.end()).find(|&number| !self.held.0.contains_key(&Id { kind, number }));
                let full = CompileError::Full { what, limit: numbers.end() - numbers.start() + 1, remedy };
                let number = free.ok_or(full)?;
                self.next.insert((kind, *numbers.start()), number.saturating_add(1));
                number
            }
        };
        self.give(known, number);
        Ok(number)
    }

    fn give(&mut self, what: (Kind, Digest), number: u32) {
        if self.given_by_digest.insert(what, number).is_none() {
            self.given.push((Id { kind: what.0, number }, what.1));
        }
    }
}

/// The gaps between the programs that the kernel holds; behind the last one everything is free.
struct FreeRows {
    gaps: Vec<(u32, u32)>,
    end: u32,
}

impl FreeRows {
    fn new(held: &Ids) -> Self {
        let mut free = Self { gaps: Vec::new(), end: 0 };
        for (first, content) in held.of(Kind::Program) {
            if first > free.end {
                free.gaps.push((free.end, first - free.end));
            }
            free.end = free.end.max(first.saturating_add(program_length(content)));
        }
        free
    }

    /// First fit.
    fn take(&mut self, rows: u32) -> Option<u32> {
        if let Some((first, length)) = self.gaps.iter_mut().find(|(_, length)| *length >= rows) {
            let taken = *first;
            *first += rows;
            *length -= rows;
            return Some(taken);
        }
        let taken = self.end;
        self.end = self.end.checked_add(rows)?;
        Some(taken)
    }
}
