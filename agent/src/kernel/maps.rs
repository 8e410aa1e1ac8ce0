//! Typed handles on the pinned maps.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap};
use common::abi::{
    Backend, Backends, DelegateKey, DropKey, DropRow, Endpoint, FlowKey, FlowShare, FlowTotals, NatKey, PortRow,
    Profile, RuleKey, ServiceKey, Told, Traffic,
};

use super::{MapCapacities, Pins, object};

/// The maps of a datapath. Opening them needs none of its programs, so any process may look, or apply a plan.
pub struct Maps {
    pub(super) epoch: Array<MapData, u64>,
    pub(super) slot: Array<MapData, u64>,
    pub(super) slot_overflow: HashMap<MapData, u32, u64>,
    pub(super) endpoint: Array<MapData, Endpoint>,
    pub(super) local_v4: HashMap<MapData, u32, u32>,
    pub(super) local_v6: HashMap<MapData, [u32; 4], u32>,
    pub(super) profile: Array<MapData, Profile>,
    pub(super) tunnel: Array<MapData, u64>,
    pub(super) peer_v4: HashMap<MapData, u32, u64>,
    pub(super) peer_v6: HashMap<MapData, [u32; 4], u64>,
    pub(super) range_v4: LpmTrie<MapData, u32, u64>,
    pub(super) range_v6: LpmTrie<MapData, [u32; 4], u64>,
    pub(super) service: HashMap<MapData, ServiceKey, u64>,
    pub(super) backends: Array<MapData, Backends>,
    pub(super) delegate: HashMap<MapData, DelegateKey, Backend>,
    pub(super) rule: HashMap<MapData, RuleKey, u64>,
    pub(super) port: Array<MapData, PortRow>,
    pub(super) flow: HashMap<MapData, FlowKey, [u64; 2]>,
    pub(super) flow_share: Array<MapData, FlowShare>,
    pub(super) flow_totals: Array<MapData, FlowTotals>,
    pub(super) nat_flow: HashMap<MapData, NatKey, [u64; 2]>,
    pub(super) drops_direct: PerCpuArray<MapData, DropRow>,
    pub(super) drops: PerCpuHashMap<MapData, DropKey, Traffic>,
    pub(super) forwarded: PerCpuArray<MapData, Traffic>,
    pub(super) counter: PerCpuArray<MapData, u64>,
    pub(super) told: PerCpuArray<MapData, Told>,
    pub(super) ids: HashMap<MapData, [u32; 2], [u8; 16]>,
}

/// The handles say nothing about themselves.
impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}

impl Maps {
    /// Opens the maps of a datapath that has been set up, after checking that they are what this version expects.
    ///
    /// # Errors
    /// There is no such datapath, or it is another version's.
    pub fn open(pins: &Pins, capacities: &MapCapacities) -> Result<Self> {
        for definition in object::definitions(capacities)? {
            definition.check(&pins.maps().join(&definition.name), pins, capacities)?;
        }
        Self::collect(|name| pinned(&pins.maps().join(name)))
    }

    pub(super) fn collect(mut source: impl FnMut(&str) -> Result<Map>) -> Result<Self> {
        let source = &mut source;
        Ok(Self {
            epoch: typed(source, "EPOCH")?,
            slot: typed(source, "SLOT")?,
            slot_overflow: typed(source, "SLOT_OVERFLOW")?,
            endpoint: typed(source, "ENDPOINT")?,
            local_v4: typed(source, "LOCAL_V4")?,
            local_v6: typed(source, "LOCAL_V6")?,
            profile: typed(source, "PROFILE")?,
            tunnel: typed(source, "TUNNEL")?,
            peer_v4: typed(source, "PEER_V4")?,
            peer_v6: typed(source, "PEER_V6")?,
            range_v4: typed(source, "RANGE_V4")?,
            range_v6: typed(source, "RANGE_V6")?,
            service: typed(source, "SERVICE")?,
            backends: typed(source, "BACKENDS")?,
            delegate: typed(source, "DELEGATE")?,
            rule: typed(source, "RULE")?,
            port: typed(source, "PORT")?,
            flow: typed(source, "FLOW")?,
            flow_share: typed(source, "FLOW_SHARE")?,
            flow_totals: typed(source, "FLOW_TOTALS")?,
            nat_flow: typed(source, "NAT_FLOW")?,
            drops_direct: typed(source, "DROPS_DIRECT")?,
            drops: typed(source, "DROPS")?,
            forwarded: typed(source, "FORWARDED")?,
            counter: typed(source, "COUNTER")?,
            told: typed(source, "TOLD")?,
            ids: typed(source, "IDS")?,
        })
    }
}

/// A pinned map as whatever kind it is.
pub(crate) fn pinned(pin: &Path) -> Result<Map> {
    let data = MapData::from_pin(pin).with_context(|| format!("cannot open the pinned map {}", pin.display()))?;
    Map::from_map_data(data).with_context(|| format!("cannot use the pinned map {}", pin.display()))
}

fn typed<T>(source: &mut impl FnMut(&str) -> Result<Map>, name: &str) -> Result<T>
where
    T: TryFrom<Map, Error = MapError>,
{
    source(name)?.try_into().map_err(|error| anyhow!("the map {name} is not what this version expects: {error}"))
}
