//! One change of one map.

use std::fmt;
use std::net::IpAddr;

use common::abi::{
    Address, Backend, Backends, DelegateKey, Endpoint, Interface, Lead, Peer, PeerKind, PortRow, Profile, ProgramRef,
    RuleKey, ServiceKey,
};
use ipnet::IpNet;

use super::Observed;
use crate::compile::{Digest, Id};

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    SetId {
        id: Id,
        digest: Digest,
    },
    SetPort {
        row: u32,
        value: PortRow,
    },
    SetProfile {
        index: u32,
        profile: Profile,
    },
    SetRule {
        key: RuleKey,
        program: ProgramRef,
    },
    SetBackends {
        number: u32,
        backends: Backends,
    },
    SetDelegate {
        key: DelegateKey,
        backend: Backend,
    },
    /// Leads to [`Op::SetBackends`] of its number.
    SetService {
        key: ServiceKey,
        lead: Lead,
    },
    RemoveService {
        key: ServiceKey,
    },
    /// Ports of tunnels, as [`common::abi::tunnel_bit`] has them.
    SetTunnels {
        word: u32,
        ports: u64,
    },
    SetPeer {
        address: Address,
        peer: Peer,
    },
    SetRange {
        range: IpNet,
        peer: Peer,
    },
    RemoveRange {
        range: IpNet,
    },
    RemovePeer {
        address: Address,
    },
    /// A new record, or one whose flags change and nothing else.
    SetEndpoint {
        slot: u32,
        endpoint: Endpoint,
    },
    SetLocal {
        address: Address,
        slot: u32,
    },
    RemoveLocal {
        address: Address,
    },
    SetInterface {
        ifindex: u32,
        interface: Interface,
    },
    RemoveInterface {
        ifindex: u32,
    },
    /// The whole record, of which only the word of the profile changes.
    Publish {
        slot: u32,
        endpoint: Endpoint,
    },
    RaiseEpoch {
        epoch: u64,
    },
    /// Wait for a second: whoever read an old word is done with what it led to.
    Grace,
    RemoveEndpoint {
        slot: u32,
    },
    RemoveRule {
        key: RuleKey,
    },
    RemoveProfile {
        index: u32,
    },
    RemovePort {
        row: u32,
    },
    RemoveBackends {
        number: u32,
    },
    RemoveDelegate {
        key: DelegateKey,
    },
    RemoveId {
        id: Id,
    },
}

impl Op {
    /// What it removes that can be removed only after a grace period, by its kind and its place there.
    #[must_use]
    pub fn leftover(&self) -> Option<(u8, u128)> {
        let pair = |high: u32, low: u32| u128::from(high) << 32 | u128::from(low);
        Some(match *self {
            Self::RemoveEndpoint { slot } => (0, u128::from(slot)),
            Self::RemoveRule { key } => (1, pair(key.set, key.peer)),
            Self::RemoveProfile { index } => (2, u128::from(index)),
            Self::RemovePort { row } => (3, u128::from(row)),
            Self::RemoveBackends { number } => (4, u128::from(number)),
            Self::RemoveId { id } => (5, pair(id.kind as u32, id.number)),
            Self::RemoveDelegate { key } => (6, u128::from(key.backends) << 64 | pair(key.set, key.membership)),
            Self::SetId { .. }
            | Self::SetPort { .. }
            | Self::SetProfile { .. }
            | Self::SetRule { .. }
            | Self::SetBackends { .. }
            | Self::SetDelegate { .. }
            | Self::SetService { .. }
            | Self::RemoveService { .. }
            | Self::SetTunnels { .. }
            | Self::SetPeer { .. }
            | Self::SetRange { .. }
            | Self::RemoveRange { .. }
            | Self::RemovePeer { .. }
            | Self::SetEndpoint { .. }
            | Self::SetLocal { .. }
            | Self::RemoveLocal { .. }
            | Self::SetInterface { .. }
            | Self::RemoveInterface { .. }
            | Self::Publish { .. }
            | Self::RaiseEpoch { .. }
            | Self::Grace => return None,
        })
    }

    /// Carries the operation out on ordinary maps.
    pub fn apply_to(&self, observed: &mut Observed) {
        let tables = &mut observed.tables;
        match *self {
            Self::SetId { id, digest } => drop(observed.ids.0.insert(id, digest)),
            Self::SetPort { row, value } => drop(tables.ports.insert(row, value)),
            Self::SetProfile { index, profile } => drop(tables.profiles.insert(index, profile)),
            Self::SetRule { key, program } => drop(tables.rules.insert(key, program)),
            Self::SetBackends { number, backends } => drop(tables.backends.insert(number, backends)),
            Self::SetDelegate { key, backend } => drop(tables.delegates.insert(key, backend)),
            Self::RemoveDelegate { key } => drop(tables.delegates.remove(&key)),
            Self::SetService { key, lead } => drop(tables.services.insert(key, lead)),
            Self::RemoveService { key } => drop(tables.services.remove(&key)),
            Self::RemoveBackends { number } => drop(tables.backends.remove(&number)),
            Self::SetTunnels { word, ports: 0 } => drop(tables.tunnels.remove(&word)),
            Self::SetTunnels { word, ports } => drop(tables.tunnels.insert(word, ports)),
            Self::SetPeer { address, peer } => drop(tables.peers.insert(address, peer)),
            Self::SetRange { range, peer } => drop(tables.ranges.insert(range, peer)),
            Self::RemoveRange { range } => drop(tables.ranges.remove(&range)),
            Self::RemovePeer { address } => drop(tables.peers.remove(&address)),
            Self::SetEndpoint { slot, endpoint } | Self::Publish { slot, endpoint } => {
                tables.endpoints.insert(slot, endpoint);
            }
            Self::SetLocal { address, slot } => drop(tables.locals.insert(address, slot)),
            Self::RemoveLocal { address } => drop(tables.locals.remove(&address)),
            Self::SetInterface { ifindex, interface } => drop(tables.interfaces.insert(ifindex, interface)),
            Self::RemoveInterface { ifindex } => drop(tables.interfaces.remove(&ifindex)),
            Self::RaiseEpoch { epoch } => observed.epoch = epoch,
            Self::Grace => {}
            Self::RemoveEndpoint { slot } => drop(tables.endpoints.remove(&slot)),
            Self::RemoveRule { key } => drop(tables.rules.remove(&key)),
            Self::RemoveProfile { index } => drop(tables.profiles.remove(&index)),
            Self::RemovePort { row } => drop(tables.ports.remove(&row)),
            Self::RemoveId { id } => drop(observed.ids.0.remove(&id)),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetId { id, .. } => write!(f, "reserve {} {}", id.kind.name(), id.number),
            Self::SetPort { row, value } => {
                let (admin, lower) = (value.admin.admin_verdict(), value.lower.lower_verdict());
                write!(f, "write port row {row}: up to {:#08x}, {admin:?}, {lower:?}", value.last)
            }
            Self::SetProfile { index, profile } => write!(
                f,
                "write profile {index}: tenant {}, {}, egress set {}, ingress set {}",
                profile.tenant.0,
                profile.mode().name(),
                profile.rules[0].set,
                profile.rules[1].set
            ),
            Self::SetRule { key, program } => {
                write!(f, "write rule {}: {} port rows from {}", Rule(key), program.rows(), program.first())
            }
            Self::SetBackends { number, backends } => match backends.kinds {
                Backends::ONE => write!(f, "write backends {number}: {}", End(&backends.only)),
                Backends::SEVERAL => write!(f, "write backends {number}: several kinds"),
                _ => write!(f, "write backends {number}: not known"),
            },
            Self::SetDelegate { key, backend } => write!(f, "set {}: {}", Delegate(key), End(backend)),
            Self::RemoveDelegate { key } => write!(f, "remove {}", Delegate(key)),
            Self::SetService { key, lead } => {
                write!(f, "set {}: backends {}", Service(key), lead.backends())?;
                f.write_str(if lead.is_chosen() { ", chosen" } else { "" })
            }
            Self::RemoveService { key } => write!(f, "remove {}", Service(key)),
            Self::RemoveBackends { number } => write!(f, "remove backends {number}"),
            Self::SetTunnels { word, ports } => {
                write!(f, "set tunnel ports from {}: {ports:#x}", u64::from(*word) * 64)
            }
            Self::SetPeer { address, peer } => write!(f, "set address {}: {}", IpAddr::from(*address), Word(*peer)),
            Self::SetRange { range, peer } => write!(f, "set range {range}: {}", Word(*peer)),
            Self::RemoveRange { range } => write!(f, "remove range {range}"),
            Self::RemovePeer { address } => write!(f, "remove address {}", IpAddr::from(*address)),
            Self::SetEndpoint { slot, endpoint } => {
                write!(f, "write endpoint {} in slot {slot}: profile {}", endpoint.id, endpoint.profile)?;
                f.write_str(if endpoint.is(Endpoint::PENDING) { ", pending" } else { "" })?;
                f.write_str(if endpoint.is(Endpoint::HELD) { ", held" } else { "" })
            }
            Self::SetLocal { address, slot } => write!(f, "set local address {}: slot {slot}", IpAddr::from(*address)),
            Self::RemoveLocal { address } => write!(f, "remove local address {}", IpAddr::from(*address)),
            Self::SetInterface { ifindex, interface } if interface.is_bridge() => write!(f, "set bridge {ifindex}"),
            Self::SetInterface { ifindex, interface } => {
                write!(f, "set interface {ifindex}: slot {}", interface.slot())
            }
            Self::RemoveInterface { ifindex } => write!(f, "remove interface {ifindex}"),
            Self::Publish { slot, endpoint } => {
                write!(f, "publish profile {} for endpoint {} in slot {slot}", endpoint.profile, endpoint.id)
            }
            Self::RaiseEpoch { epoch } => write!(f, "raise the epoch to {epoch}"),
            Self::Grace => f.write_str("wait for a second"),
            Self::RemoveEndpoint { slot } => write!(f, "remove the endpoint in slot {slot}"),
            Self::RemoveRule { key } => write!(f, "remove rule {}", Rule(key)),
            Self::RemoveProfile { index } => write!(f, "remove profile {index}"),
            Self::RemovePort { row } => write!(f, "remove port row {row}"),
            Self::RemoveId { id } => write!(f, "release {} {}", id.kind.name(), id.number),
        }
    }
}

struct Rule<'a>(&'a RuleKey);

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split() {
            Ok(identity) => write!(f, "of set {} for identity {identity}", self.0.set),
            Err(class) => write!(f, "of set {} for class {class}", self.0.set),
        }
    }
}

struct Service<'a>(&'a ServiceKey);

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServiceKey { address, port } = self.0;
        let address = IpAddr::from(*address);
        write!(f, "service at {address}, protocol {}, port {}", port.0 >> 16, port.0 & 0xffff)
    }
}

struct Delegate<'a>(&'a DelegateKey);

impl fmt::Display for Delegate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DelegateKey { backends, set, membership } = self.0;
        write!(f, "delegate of backends {backends} for set {set}, tenant {}", membership & 0xff_ffff)
    }
}

struct End<'a>(&'a Backend);

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}: {}", self.0.port(), Word(self.0.peer))?;
        f.write_str(if self.0.differs() { ", others differ" } else { "" })
    }
}

struct Word(Peer);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.kind() {
            PeerKind::External => "outside",
            PeerKind::Pod => "pod",
            PeerKind::OwnNode => "own node",
            PeerKind::OtherNode => "other node",
            PeerKind::UnknownPod => "unknown pod",
            PeerKind::LocalPod => "local pod",
            PeerKind::Service => "service",
        };
        write!(f, "{kind}, identity {}, class {}, tenant {}", self.0.identity(), self.0.class(), self.0.tenant().0)?;
        f.write_str(if self.0.is_closed() { ", closed" } else { "" })?;
        f.write_str(if self.0.is_claimed() { ", claimed" } else { "" })
    }
}
