//! Tables with every number replaced by what it stands for: two that were reached on different ways can be compared.

use std::collections::{BTreeMap, BTreeSet};

use common::abi::{Address, DirectionRules, Endpoint, Interface, Peer, PeerKind, PortRow, ProgramRef, TenantId};
use ipnet::IpNet;
use policy::compile::{Digest, Id, Ids, Kind, Tables};

/// Equal where the tables mean the same and hold nothing more.
#[derive(Debug, PartialEq)]
pub struct Canonical {
    interfaces: BTreeMap<u32, Interface>,
    endpoints: BTreeMap<u32, (Endpoint, Published)>,
    peers: BTreeMap<Address, Word>,
    ranges: BTreeMap<IpNet, Word>,
    /// By set, and identity or class.
    rules: BTreeMap<(Stands, Result<Stands, Stands>), Vec<Row>>,
    /// How many numbers of each kind are in use, and for what; programs and profiles are what their content is.
    numbers: BTreeSet<(Kind, Digest)>,
    counts: BTreeMap<Kind, usize>,
    rows: usize,
}

/// What a number stands for; `None` is 0.
type Stands = Option<Digest>;
type Row = (u32, u32, u32, Stands, Stands);

#[derive(Debug, PartialEq)]
struct Published {
    rules: [(Vec<Row>, Stands, u32); 2],
    tenant: Stands,
    mode: u16,
    agent_port: u16,
    written: u64,
}

#[derive(Debug, PartialEq)]
struct Word {
    kind: PeerKind,
    identity: Stands,
    class: Stands,
    tenant: Stands,
    /// What else the word says.
    rest: u64,
}

impl Canonical {
    /// # Panics
    /// Where the tables use a number that nothing stands behind, or a row that is not there.
    #[must_use]
    pub fn of(tables: &Tables, ids: &Ids) -> Self {
        let reader = Reader { tables, ids };
        let by_content = |kind| !matches!(kind, Kind::Program | Kind::Profile);
        let mut counts = BTreeMap::new();
        ids.0.keys().for_each(|id| *counts.entry(id.kind).or_default() += 1);
        let endpoints = tables.endpoints.iter().map(|(&slot, endpoint)| {
            let published = reader.published(endpoint.profile);
            (slot, (Endpoint { profile: 0, ..*endpoint }, published))
        });
        let rules = tables.rules.iter().map(|(key, &program)| {
            let peer = match key.split() {
                Ok(identity) => Ok(reader.stands(Kind::Identity, identity)),
                Err(class) => Err(reader.stands(Kind::Class, class)),
            };
            ((reader.stands(Kind::Set, key.set), peer), reader.rows(program))
        });
        Self {
            interfaces: tables.interfaces.clone(),
            endpoints: endpoints.collect(),
            peers: tables.peers.iter().map(|(&address, &peer)| (address, reader.word(peer))).collect(),
            ranges: tables.ranges.iter().map(|(&range, &peer)| (range, reader.word(peer))).collect(),
            rules: rules.collect(),
            numbers: ids.0.iter().filter(|(id, _)| by_content(id.kind)).map(|(id, it)| (id.kind, *it)).collect(),
            counts,
            rows: tables.ports.len(),
        }
    }
}

struct Reader<'a> {
    tables: &'a Tables,
    ids: &'a Ids,
}

impl Reader<'_> {
    fn stands(&self, kind: Kind, number: u32) -> Stands {
        let id = Id { kind, number };
        (number != 0).then(|| *self.ids.0.get(&id).unwrap_or_else(|| panic!("nothing stands behind {id:?}")))
    }

    fn word(&self, peer: Peer) -> Word {
        let plain = Peer::new(peer.kind(), peer.identity(), peer.class(), peer.tenant());
        Word {
            kind: peer.kind(),
            identity: self.stands(Kind::Identity, peer.identity()),
            class: self.stands(Kind::Class, peer.class()),
            tenant: self.tenant(peer.tenant()),
            rest: peer.0 ^ plain.0,
        }
    }

    fn tenant(&self, tenant: TenantId) -> Stands {
        self.stands(Kind::Tenant, tenant.0)
    }

    fn published(&self, profile: u64) -> Published {
        let index = u32::try_from(profile).expect("an index");
        let profile = self.tables.profiles.get(&index).expect("a profile that is written");
        let rules = |rules: &DirectionRules| (self.rows(rules.none), self.stands(Kind::Set, rules.set), rules.flags);
        Published {
            rules: [rules(&profile.rules[0]), rules(&profile.rules[1])],
            tenant: self.tenant(profile.tenant),
            mode: profile.mode,
            agent_port: profile.agent_port,
            written: profile.written,
        }
    }

    fn rows(&self, program: ProgramRef) -> Vec<Row> {
        let rows = (program.first()..).take(usize::try_from(program.rows()).expect("few rows"));
        let row = |row: u32| {
            let PortRow { last, admin, lower, admin_rule, lower_rule, .. } = self.tables.ports[&row];
            let [admin_rule, lower_rule] = [admin_rule, lower_rule].map(|rule| self.stands(Kind::Rule, rule));
            (last, admin.0, lower.0, admin_rule, lower_rule)
        };
        rows.map(row).collect()
    }
}
