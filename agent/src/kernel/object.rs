//! The compiled programs, the definitions of their maps, and the check of pinned maps against them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::maps::MapInfo;
use aya_obj::EbpfSectionKind;
use common::abi::FlowLimits;

use super::Pins;

/// The object file that `agent/build.rs` built.
pub(super) const OBJECT: &[u8] = aya::include_bytes_aligned!(env!("BULKHEAD_BPF_OBJECT"));

/// The ring of aya-log: it lives as long as the process that reads it, so it is not pinned.
const LOG_RING: &str = "AYA_LOGS";

/// Sizes of the maps that grow with a cluster, in entries; `None` is the object's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapCapacities {
    /// Local pods.
    pub endpoints: Option<u32>,
    /// Published profiles: at least two for each local pod.
    pub profiles: Option<u32>,
    /// Addresses of pods and nodes, of each family.
    pub peers: Option<u32>,
    /// CIDR ranges, of each family.
    pub ranges: Option<u32>,
    /// Addresses and ports of Services, groups of backends behind them, and who is asked for a group.
    pub services: Option<u32>,
    /// Pairs of a policy set and a peer that it has a row for.
    pub rules: Option<u32>,
    /// Port intervals of all programs together.
    pub ports: Option<u32>,
    /// Tracked flows.
    pub flows: Option<u32>,
    /// Numbers in use: identities, classes, sets, programs, profiles, rules and tenants together.
    pub ids: Option<u32>,
    /// Pairs of tenants, by direction and reason, that are counted apart.
    pub drops: Option<u32>,
}

impl MapCapacities {
    /// Each setting, with the size that its maps have where it is left out.
    ///
    /// # Errors
    /// The BPF object in this binary cannot be read.
    pub fn defaults() -> Result<BTreeMap<&'static str, u32>> {
        let unset = Self::default();
        let maps = definitions(&unset)?;
        let mut defaults = BTreeMap::new();
        for map in maps {
            if let Some((setting, _)) = unset.setting(&map.name) {
                defaults.entry(setting).or_insert(map.entries());
            }
        }
        Ok(defaults)
    }

    /// The setting that decides the size of a map, and its value.
    pub(super) fn setting(&self, map: &str) -> Option<(&'static str, Option<u32>)> {
        let setting = match map {
            "ENDPOINT" | "SLOT_OVERFLOW" | "TOLD" | "FLOW_SHARE" | "LOCAL_V4" | "LOCAL_V6" => {
                ("maps.endpoints", self.endpoints)
            }
            "PROFILE" => ("maps.profiles", self.profiles),
            "PEER_V4" | "PEER_V6" => ("maps.peers", self.peers),
            "RANGE_V4" | "RANGE_V6" => ("maps.ranges", self.ranges),
            "SERVICE" | "BACKENDS" | "DELEGATE" => ("maps.services", self.services),
            "RULE" => ("maps.rules", self.rules),
            "PORT" => ("maps.ports", self.ports),
            "FLOW" => ("maps.flows", self.flows),
            "RING" => ("maps.flows", self.flows.map(FlowLimits::ring)),
            "IDS" => ("maps.ids", self.ids),
            "DROPS" => ("maps.drops", self.drops),
            _ => return None,
        };
        Some(setting)
    }
}

/// What a map is to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

/// The maps that are pinned, as the programs declare them and `capacities` sizes them, by name: of `FLOW` and `RING`, which
/// one setting sizes, the one that has the setting's number comes first.
pub(super) fn definitions(capacities: &MapCapacities) -> Result<Vec<Definition>> {
    let object = aya_obj::Object::parse(OBJECT).context("the BPF object in this binary cannot be read")?;
    let declared = object.maps.into_iter().filter(|(name, map)| {
        matches!(map.section_kind(), EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps) && name != LOG_RING
    });
    let mut definitions: Vec<_> = declared
        .map(|(name, map)| {
            let wanted = capacities.setting(&name).and_then(|(_, value)| value);
            let shape = Shape {
                kind: map.map_type(),
                key: map.key_size(),
                value: map.value_size(),
                entries: wanted.unwrap_or_else(|| map.max_entries()),
                flags: map.map_flags(),
            };
            Definition { name, shape }
        })
        .collect();
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(definitions)
}

/// The shares of flows that follow from the sizes of the maps.
pub(super) fn flow_limits(definitions: &[Definition]) -> Result<FlowLimits> {
    let entries = |name: &str| {
        let map = definitions.iter().find(|map| map.name == name);
        map.map(Definition::entries).with_context(|| format!("no map {name} in the object"))
    };
    Ok(FlowLimits::new(entries("FLOW")?, entries("ENDPOINT")?))
}

impl Definition {
    pub(super) const fn entries(&self) -> u32 {
        self.shape.entries
    }

    /// Whether the pinned map is what the programs take it for. The loader does not look: it would hand the
    /// programs any map that carries the name.
    pub(super) fn check(&self, pin: &Path, pins: &Pins, capacities: &MapCapacities) -> Result<()> {
        let info = MapInfo::from_pin(pin).with_context(|| format!("cannot open the pinned map {}", pin.display()))?;
        let found = Shape {
            kind: info.map_type().with_context(|| format!("{} is no map", pin.display()))? as u32,
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
            flags: info.map_flags(),
        };
        let Some(difference) = found.difference(&self.shape) else { return Ok(()) };
        let instead = match capacities.setting(&self.name) {
            Some((setting, _)) if difference.what == "entries" => {
                format!(", or set `{setting}` to {} again", difference.found)
            }
            _ => String::new(),
        };
        bail!(
            "the pinned map {} has {difference}: remove it and all that is enforced with `{}`{instead}",
            pin.display(),
            pins.remedy()
        )
    }
}

impl Shape {
    fn difference(&self, wanted: &Self) -> Option<Difference> {
        [
            ("type", self.kind, wanted.kind),
            ("bytes a key", self.key, wanted.key),
            ("bytes a value", self.value, wanted.value),
            ("entries", self.entries, wanted.entries),
            ("flags", self.flags, wanted.flags),
        ]
        .into_iter()
        .find(|(_, found, wanted)| found != wanted)
        .map(|(what, found, wanted)| Difference { what, found, wanted })
    }
}

struct Difference {
    what: &'static str,
    found: u32,
    wanted: u32,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, wanted } = self;
        match *what {
            "type" | "flags" => write!(f, "{what} {found} where this version has {what} {wanted}"),
            _ => write!(f, "{found} {what} where this version has {wanted}"),
        }
    }
}
