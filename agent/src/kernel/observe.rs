//! What the kernel holds, read back into ordinary maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result};
use aya::Pod;
use aya::maps::{Array, HashMap, MapData, MapError};
use common::abi::{Address, Interface, Lead, Peer, PortRow, ProgramRef, RuleKey, ServiceKey};
use ipnet::IpNet;
use policy::compile::{Id, Ids, Kind, Tables};
use policy::plan::Observed;

use super::Maps;

impl Maps {
    /// All that a plan starts from.
    ///
    /// # Errors
    /// A map cannot be read, or holds what no version of this agent wrote.
    pub fn observe(&self) -> Result<Observed> {
        let ids = self.ids()?;
        Ok(Observed { tables: self.tables(&ids)?, epoch: self.epoch()?, ids })
    }

    fn epoch(&self) -> Result<u64> {
        self.epoch.get(&0, 0).context("cannot read the map EPOCH")
    }

    /// Nothing is skipped: a row that means nothing is an error.
    ///
    /// Of the large arrays only those rows are read that have an id, or that something leads to: ids are written
    /// before and removed after them, and where an id was lost its rows must not look free.
    fn tables(&self, ids: &Ids) -> Result<Tables> {
        let mut tables = Tables {
            interfaces: self.interfaces()?,
            endpoints: rows("ENDPOINT", &self.endpoint, 0..self.endpoint.len(), |endpoint| endpoint.id != 0)?,
            tunnels: rows("TUNNEL", &self.tunnel, 0..self.tunnel.len(), |&ports| ports != 0)?,
            locals: self.locals()?,
            peers: self.peers()?,
            ranges: self.ranges()?,
            services: self.services()?,
            delegates: entries("DELEGATE", &self.delegate)?.into_iter().collect(),
            rules: self.rules()?,
            ..Tables::default()
        };
        let published = tables.endpoints.values().filter_map(|endpoint| u32::try_from(endpoint.profile).ok());
        let profiles = ids.numbers(Kind::Profile).chain(published);
        tables.profiles = rows("PROFILE", &self.profile, profiles, |profile| profile.written != 0)?;

        let backends = ids.numbers(Kind::Backends).chain(tables.services.values().map(|lead| lead.backends()));
        tables.backends = rows("BACKENDS", &self.backends, backends, |backends| backends.kinds != 0)?;

        let none = tables.profiles.values().flat_map(|profile| profile.rules.iter().map(|rules| rules.none));
        let programs = tables.rules.values().copied().chain(none);
        let reached = programs.flat_map(|program| program.first()..program.first().saturating_add(program.rows()));
        tables.ports = rows("PORT", &self.port, ids.port_rows().chain(reached), is_written)?;
        Ok(tables)
    }

    fn ids(&self) -> Result<Ids> {
        let rows = entries("IDS", &self.ids)?.into_iter().map(|([kind, number], digest)| {
            let kind = Kind::from_number(kind).with_context(|| format!("the map IDS holds the unknown kind {kind}"))?;
            Ok((Id { kind, number }, digest))
        });
        Ok(Ids(rows.collect::<Result<_>>()?))
    }

    fn interfaces(&self) -> Result<BTreeMap<u32, Interface>> {
        let slots = rows("SLOT", &self.slot, 0..self.slot.len(), |&word| word != 0)?;
        let overflow = entries("SLOT_OVERFLOW", &self.slot_overflow)?;
        let words = slots.into_values().chain(overflow.into_values()).map(Interface);
        Ok(words.map(|interface| (interface.ifindex(), interface)).collect())
    }

    fn locals(&self) -> Result<BTreeMap<Address, u32>> {
        let v4 = entries("LOCAL_V4", &self.local_v4)?;
        let v6 = entries("LOCAL_V6", &self.local_v6)?;
        let v4 = v4.into_iter().map(|(word, slot)| (Address::v4(word.to_ne_bytes()), slot));
        let v6 = v6.into_iter().map(|(words, slot)| (Address { words }, slot));
        Ok(v4.chain(v6).collect())
    }

    fn peers(&self) -> Result<BTreeMap<Address, Peer>> {
        let v4 = entries("PEER_V4", &self.peer_v4)?;
        let v6 = entries("PEER_V6", &self.peer_v6)?;
        let v4 = v4.into_iter().map(|(word, peer)| (Address::v4(word.to_ne_bytes()), Peer(peer)));
        let v6 = v6.into_iter().map(|(words, peer)| (Address { words }, Peer(peer)));
        Ok(v4.chain(v6).collect())
    }

    fn ranges(&self) -> Result<BTreeMap<IpNet, Peer>> {
        let mut ranges = BTreeMap::new();
        for row in self.range_v4.iter() {
            let (key, peer) = row.context("cannot read the map RANGE_V4")?;
            let address = IpAddr::from(key.data().to_ne_bytes());
            ranges.insert(range("RANGE_V4", address, key.prefix_len())?, Peer(peer));
        }
        for row in self.range_v6.iter() {
            let (key, peer) = row.context("cannot read the map RANGE_V6")?;
            let address = IpAddr::from(Address { words: key.data() }.octets());
            ranges.insert(range("RANGE_V6", address, key.prefix_len())?, Peer(peer));
        }
        Ok(ranges)
    }

    fn services(&self) -> Result<BTreeMap<ServiceKey, Lead>> {
        Ok(entries("SERVICE", &self.service)?.into_iter().map(|(key, word)| (key, Lead(word))).collect())
    }

    fn rules(&self) -> Result<BTreeMap<RuleKey, ProgramRef>> {
        let rules = entries("RULE", &self.rule)?;
        Ok(rules.into_iter().map(|(key, program)| (key, ProgramRef(program))).collect())
    }
}

/// Those of the rows of an array that have been written. What leads beyond its end was not written by us, and is found
/// where it stands.
fn rows<V: Pod>(
    name: &str,
    map: &Array<MapData, V>,
    indices: impl Iterator<Item = u32>,
    written: impl Fn(&V) -> bool,
) -> Result<BTreeMap<u32, V>> {
    let mut rows = BTreeMap::new();
    let indices: BTreeSet<u32> = indices.filter(|&index| index < map.len()).collect();
    for index in indices {
        let row = map.get(&index, 0).with_context(|| format!("cannot read row {index} of the map {name}"))?;
        if written(&row) {
            rows.insert(index, row);
        }
    }
    Ok(rows)
}

fn entries<K: Pod + Ord, V: Pod>(name: &str, map: &HashMap<MapData, K, V>) -> Result<BTreeMap<K, V>> {
    let read: Result<_, MapError> = map.iter().collect();
    read.with_context(|| format!("cannot read the map {name}"))
}

/// A row of zeros was never written: no program has a row that ends at protocol 0, port 0 and whose Admin verdict is
/// to accept.
fn is_written(row: &PortRow) -> bool {
    row.last != 0 || row.admin.0 != 0 || row.lower.0 != 0
}

fn range(map: &str, address: IpAddr, prefix: u32) -> Result<IpNet> {
    let prefix = u8::try_from(prefix).ok().and_then(|prefix| IpNet::new(address, prefix).ok());
    prefix.with_context(|| format!("the map {map} holds {address} with a prefix that is too long"))
}
