//! What the kernel's maps should hold.

use std::collections::BTreeMap;

use common::abi::{Address, Endpoint, Interface, Peer, PortRow, Profile, ProgramRef, RuleKey, TenantId};
use ipnet::IpNet;

use crate::model::ObjectRef;

/// The maps that follow from policy, as ordinary maps. What the kernel holds is read back into the same shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// By interface index.
    pub interfaces: BTreeMap<u32, Interface>,
    /// By slot.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// By index.
    pub profiles: BTreeMap<u32, Profile>,
    pub peers: BTreeMap<Address, Peer>,
    pub ranges: BTreeMap<IpNet, Peer>,
    pub rules: BTreeMap<RuleKey, ProgramRef>,
    /// By row.
    pub ports: BTreeMap<u32, PortRow>,
}

/// A compiled world.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    pub tables: Tables,
    pub provenance: Provenance,
}

/// What the numbers in events and counters stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// [`PortRow::admin_rule`], [`PortRow::lower_rule`]: what decided; for a default deny every policy that isolates.
    pub rules: BTreeMap<u32, Vec<ObjectRef>>,
    /// The names that people read; the platform (0) is not in it.
    pub tenants: BTreeMap<TenantId, String>,
}
