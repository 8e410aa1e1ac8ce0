//! What the programs count, and how full the maps are.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use common::abi::{Counter, Direction, DropKey, TenantId, Traffic};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::names::{self, Values};
use crate::kernel::MapUsage;
use crate::node::Status;
use crate::serve::Sources;

/// The counters at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// By the labels of a drop.
    dropped: BTreeMap<Values, Traffic>,
    audited: BTreeMap<Values, Traffic>,
    forwarded: Vec<(Direction, Traffic)>,
    flows_cut: u64,
    flows_untracked: u64,
    evictions: u64,
    events_lost: u64,
    usage: Vec<MapUsage>,
}

impl Reading {
    pub(super) fn take(sources: &Sources, status: &Status) -> Result<Self> {
        let maps = sources.maps()?;
        let (mut dropped, mut audited) = (BTreeMap::new(), BTreeMap::new());
        for (key, traffic) in maps.drops()? {
            let rows = if key.is_audited() { &mut audited } else { &mut dropped };
            let sum: &mut Traffic = rows.entry(labels(key, status)).or_default();
            sum.packets += traffic.packets;
            sum.bytes += traffic.bytes;
        }
        let forwarded = Direction::ALL.into_iter().map(|direction| Ok((direction, maps.forwarded(direction)?)));
        Ok(Self {
            dropped,
            audited,
            forwarded: forwarded.collect::<Result<_>>()?,
            flows_cut: maps.counter(Counter::FlowsCut)?,
            flows_untracked: maps.counter(Counter::FlowsUntracked)?,
            evictions: maps.counter(Counter::FlowsEvicted)?,
            events_lost: maps.events_lost()?,
            usage: maps.usage()?,
        })
    }
}

fn labels(key: DropKey, status: &Status) -> Values {
    let reason = key.reason().map_or("unknown", |reason| reason.name());
    vec![
        key.direction().name().to_owned(),
        status.tenant_label(key.source()),
        status.tenant_label(key.destination()),
        reason.to_owned(),
    ]
}

impl Status {
    /// A tenant as a label: empty for the platform, `other` where the counters had no room for the pair.
    fn tenant_label(&self, tenant: TenantId) -> String {
        match tenant {
            TenantId::PLATFORM => String::new(),
            DropKey::OVERFLOW => "other".to_owned(),
            tenant => self.tenant_name(tenant).unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let packets = |(labels, traffic): (&Values, &Traffic)| (labels.clone(), traffic.packets);
        let bytes = |(labels, traffic): (&Values, &Traffic)| (labels.clone(), traffic.bytes);
        let encoder = &mut encoder;
        names::DROPPED_PACKETS.encode(encoder, self.dropped.iter().map(packets))?;
        names::DROPPED_BYTES.encode(encoder, self.dropped.iter().map(bytes))?;
        names::AUDITED_PACKETS.encode(encoder, self.audited.iter().map(packets))?;
        let forwarded = |value: fn(&Traffic) -> u64| {
            let row =
                move |(direction, traffic): &(Direction, Traffic)| (vec![direction.name().to_owned()], value(traffic));
            self.forwarded.iter().map(row)
        };
        names::FORWARDED_PACKETS.encode(encoder, forwarded(|traffic| traffic.packets))?;
        names::FORWARDED_BYTES.encode(encoder, forwarded(|traffic| traffic.bytes))?;
        let one = |number: u64| [(Values::new(), number)];
        names::FLOWS_CUT.encode(encoder, one(self.flows_cut))?;
        names::FLOWS_UNTRACKED.encode(encoder, one(self.flows_untracked))?;
        names::CONNTRACK_EVICTIONS.encode(encoder, one(self.evictions))?;
        names::EVENTS_LOST.encode(encoder, one(self.events_lost))?;
        let usage = |value: fn(&MapUsage) -> usize| {
            self.usage.iter().map(move |map| (vec![map.map.to_lowercase()], value(map) as u64))
        };
        names::MAP_ENTRIES.encode(encoder, usage(|map| map.entries))?;
        names::MAP_CAPACITY.encode(encoder, usage(|map| map.capacity))
    }
}
