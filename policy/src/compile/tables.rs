//! What the kernel's maps should hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::abi::{
    Address, Backend, Backends, DelegateKey, Endpoint, Interface, Lead, Peer, PortRow, Profile, ProgramRef, RuleKey,
    ServiceKey, TenantId, tunnel_bit,
};
use common::decide::{Addresses, Rules};
use ipnet::IpNet;

use super::Ids;
use crate::model::ObjectRef;

/// The maps that follow from policy, as ordinary maps. What the kernel holds is read back into the same shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// By interface index.
    pub interfaces: BTreeMap<u32, Interface>,
    /// By slot.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Slots of local pods.
    pub locals: BTreeMap<Address, u32>,
    /// By index.
    pub profiles: BTreeMap<u32, Profile>,
    pub peers: BTreeMap<Address, Peer>,
    pub ranges: BTreeMap<IpNet, Peer>,
    pub services: BTreeMap<ServiceKey, Lead>,
    /// By number.
    pub backends: BTreeMap<u32, Backends>,
    pub delegates: BTreeMap<DelegateKey, Backend>,
    pub rules: BTreeMap<RuleKey, ProgramRef>,
    /// By row.
    pub ports: BTreeMap<u32, PortRow>,
    /// UDP ports at which nodes open tunnel packets, as [`common::abi::tunnel_bit`] has them; no word is zero.
    pub tunnels: BTreeMap<u32, u64>,
}

impl Tables {
    /// True for a UDP port at which nodes open tunnel packets.
    #[must_use]
    pub fn is_tunnel_port(&self, port: u16) -> bool {
        let (word, bit) = tunnel_bit(port);
        self.tunnels.get(&word).is_some_and(|ports| ports & bit != 0)
    }

    /// What an address is to policy: its own word, or that of the longest range that holds it.
    #[must_use]
    pub fn peer_of(&self, address: IpAddr) -> Peer {
        let own = self.peers.get(&Address::from(address)).copied();
        own.or_else(|| self.range_of(address.into())).unwrap_or(Peer::EXTERNAL)
    }

    /// What is published for the endpoint in a slot.
    #[must_use]
    pub fn profile_of(&self, slot: u32) -> Option<&Profile> {
        let index = u32::try_from(self.endpoints.get(&slot)?.profile).ok()?;
        self.profiles.get(&index)
    }

    /// The word of the longest range that holds all of this one.
    pub(crate) fn range_of(&self, range: IpNet) -> Option<Peer> {
        let wider = std::iter::successors(Some(range), IpNet::supernet);
        wider.filter_map(|range| self.ranges.get(&range).copied()).next()
    }
}

impl Addresses for Tables {
    fn peer(&self, address: &Address) -> Option<Peer> {
        self.peers.get(address).copied()
    }

    fn range(&self, address: &Address) -> Option<Peer> {
        self.range_of(IpAddr::from(*address).into())
    }

    fn service(&self, key: &ServiceKey) -> Option<Lead> {
        self.services.get(key).copied()
    }

    fn backends(&self, number: u32) -> Option<&Backends> {
        // An array has every record; of one that was never written nobody can tell.
        Some(self.backends.get(&number).unwrap_or(&Backends::UNKNOWN))
    }

    fn delegate(&self, key: &DelegateKey) -> Option<Backend> {
        self.delegates.get(key).copied()
    }
}

impl Rules for Tables {
    fn rule(&self, key: &RuleKey) -> Option<ProgramRef> {
        self.rules.get(key).copied()
    }

    fn port_row(&self, row: u32) -> Option<&PortRow> {
        self.ports.get(&row)
    }
}

/// A compiled world.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    pub tables: Tables,
    pub provenance: Provenance,
    /// Every number that the tables use.
    pub ids: Ids,
}

/// What the numbers in events and counters stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// [`PortRow::admin_rule`], [`PortRow::lower_rule`]: what decided; for a default deny every policy that isolates.
    pub rules: BTreeMap<u32, Vec<ObjectRef>>,
    /// The names that people read; the platform (0) is not in it.
    pub tenants: BTreeMap<TenantId, String>,
    /// Whose every key of [`Tables::services`] is.
    pub services: BTreeMap<ServiceKey, Vec<ObjectRef>>,
}
