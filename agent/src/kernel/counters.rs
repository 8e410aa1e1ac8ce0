//! Counters of the programs, summed over the CPUs, and how full the maps are.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aya::Pod;
use aya::maps::{IterableMap, MapError, MapKeys, PerCpuValues};
use common::abi::{Counter, Direction, DropKey, DropReason, DropRow, TenantId, Traffic};
use policy::plan::Capacities;

use super::Maps;
use super::write::remove;

/// How full a hash map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUsage {
    pub map: &'static str,
    pub entries: usize,
    pub capacity: usize,
}

impl Maps {
    /// What was dropped, and what tenancy in audit mode would have dropped. Rows of zeros are left out.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn drops(&self) -> Result<Vec<(DropKey, Traffic)>> {
        let mut drops = BTreeMap::<_, Traffic>::new();
        for row in self.drops.iter() {
            let (key, values) = row.context("cannot read the map DROPS")?;
            values.iter().for_each(|traffic| *drops.entry(key).or_default() += *traffic);
        }
        for row in self.drops_direct.iter() {
            let rows = row.context("cannot read the map DROPS_DIRECT")?;
            let taken = rows.iter().filter_map(|row| Some((row.key()?, row.traffic)));
            taken.for_each(|(key, traffic)| *drops.entry(key).or_default() += traffic);
        }
        Ok(drops.into_iter().filter(|(_, traffic)| traffic.packets != 0).collect())
    }

    /// Removes what was counted of a tenant that is gone, once nothing leads to its number any more. Where the row of
    /// another key on another CPU has the same place, what that CPU counts in these microseconds is lost.
    pub(super) fn forget_counters(&mut self, tenant: TenantId) -> Result<()> {
        let is_gone = |key: &DropKey| key.source() == tenant || key.destination() == tenant;
        let mut gone = Vec::new();
        for key in self.drops.keys() {
            gone.extend(Some(key.context("cannot read the map DROPS")?).filter(is_gone));
        }
        gone.iter().try_for_each(|key| remove("DROPS", || self.drops.remove(key)))?;
        for place in 0..DropRow::COUNT {
            let rows = self.drops_direct.get(&place, 0).context("cannot read the map DROPS_DIRECT")?;
            let is_gone = |row: &DropRow| row.key().as_ref().is_some_and(is_gone);
            if rows.iter().any(is_gone) {
                let kept = rows.iter().map(|row| if is_gone(row) { DropRow::default() } else { *row });
                let kept = PerCpuValues::try_from(kept.collect::<Vec<_>>()).context("cannot count the CPUs")?;
                self.drops_direct.set(place, kept, 0).context("cannot write the map DROPS_DIRECT")?;
            }
        }
        Ok(())
    }

    /// What passed in one direction.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn forwarded(&self, direction: Direction) -> Result<Traffic> {
        let values = self.forwarded.get(&(direction as u32), 0).context("cannot read the map FORWARDED")?;
        Ok(traffic(&values))
    }

    /// # Errors
    /// The map cannot be read.
    pub fn counter(&self, counter: Counter) -> Result<u64> {
        let values = self.counter.get(&(counter as u32), 0).context("cannot read the map COUNTER")?;
        Ok(values.iter().sum())
    }

    /// Drops that no event told of.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn events_lost(&self) -> Result<u64> {
        let mut lost = self.counter(Counter::EventsLost)?;
        for told in self.told.iter() {
            lost += told.context("cannot read the map TOLD")?.iter().map(|told| told.lost).sum::<u64>();
        }
        Ok(lost)
    }

    /// How full the hash maps are. Counts keys one by one: for a scrape, not for a packet.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn usage(&self) -> Result<Vec<MapUsage>> {
        Ok(vec![
            usage("SLOT_OVERFLOW", &self.slot_overflow, self.slot_overflow.keys())?,
            usage("PEER_V4", &self.peer_v4, self.peer_v4.keys())?,
            usage("PEER_V6", &self.peer_v6, self.peer_v6.keys())?,
            usage("RANGE_V4", &self.range_v4, self.range_v4.keys())?,
            usage("RANGE_V6", &self.range_v6, self.range_v6.keys())?,
            usage("SERVICE", &self.service, self.service.keys())?,
            usage("DELEGATE", &self.delegate, self.delegate.keys())?,
            usage("RULE", &self.rule, self.rule.keys())?,
            usage("LOCAL_V4", &self.local_v4, self.local_v4.keys())?,
            usage("LOCAL_V6", &self.local_v6, self.local_v6.keys())?,
            usage("NAT_FLOW", &self.nat_flow, self.nat_flow.keys())?,
            MapUsage { map: "FLOW", entries: self.flows()?, capacity: capacity(&self.flow)? },
            usage("DROPS", &self.drops, self.drops.keys())?,
            usage("IDS", &self.ids, self.ids.keys())?,
        ])
    }

    /// What a plan has to fit into.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn capacities(&self) -> Result<Capacities> {
        Ok(Capacities {
            peers: capacity(&self.peer_v4)?.min(capacity(&self.peer_v6)?),
            ranges: capacity(&self.range_v4)?.min(capacity(&self.range_v6)?),
            services: capacity(&self.service)?.min(capacity(&self.delegate)?).min(self.backends.len() as usize),
            rules: capacity(&self.rule)?,
            ports: self.port.len() as usize,
            profiles: self.profile.len() as usize,
            endpoints: self.endpoint.len() as usize,
            // The worst case: each has its place in SLOT taken by another.
            interfaces: capacity(&self.slot_overflow)?,
            ids: capacity(&self.ids)?,
        })
    }

    /// Rows for what finds no room in `DROPS` must be there before it is full.
    pub(super) fn prepare_counters(&mut self) -> Result<()> {
        const NO_OVERWRITE: u64 = 1;
        let nothing = || -> Result<_> {
            let cpus = aya::util::nr_cpus().map_err(|(file, error)| anyhow::anyhow!("cannot read {file}: {error}"))?;
            PerCpuValues::try_from(vec![Traffic::default(); cpus]).context("cannot count the CPUs")
        };
        for direction in Direction::ALL {
            for (reason, audited) in DropReason::ALL.iter().flat_map(|&reason| [(reason, false), (reason, true)]) {
                let key = DropKey::overflow(direction, reason, audited);
                match self.drops.insert(key, nothing()?, NO_OVERWRITE) {
                    Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
                    inserted => inserted.context("cannot write the map DROPS")?,
                }
            }
        }
        Ok(())
    }
}

fn capacity<K: Pod, V>(map: &impl IterableMap<K, V>) -> Result<usize> {
    Ok(map.map().info().context("cannot ask the kernel for the size of a map")?.max_entries() as usize)
}

fn usage<K: Pod, V>(name: &'static str, map: &impl IterableMap<K, V>, keys: MapKeys<'_, K>) -> Result<MapUsage> {
    let read = || format!("cannot read the map {name}");
    let capacity = capacity(map)?;
    let mut entries = 0;
    for key in keys {
        key.with_context(read)?;
        entries += 1;
    }
    Ok(MapUsage { map: name, entries, capacity })
}

fn traffic(values: &PerCpuValues<Traffic>) -> Traffic {
    let mut sum = Traffic::default();
    values.iter().for_each(|one| sum += *one);
    sum
}
