//! Local pods: their interface, addresses and MAC (frozen at binding) and their published rules.

use super::{Address, Direction, Mac, Peer, PeerKind, ProgramRef, TenantId, Ticks};

/// What stands behind an interface index: one word of the `SLOT` map.
///
/// bits 32–63 ifindex, 31 bridge, 0–30 slot of the endpoint. An empty word is an interface of nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Interface(pub u64);

impl Interface {
    const BRIDGE: u64 = 1 << 31;

    #[must_use]
    pub const fn endpoint(ifindex: u32, slot: u32) -> Self {
        Self((ifindex as u64) << 32 | slot as u64)
    }

    /// A bridge whose ports are endpoints: what it forwards has passed a pod's own veth.
    #[must_use]
    pub const fn bridge(ifindex: u32) -> Self {
        Self((ifindex as u64) << 32 | Self::BRIDGE)
    }

    #[must_use]
    #[inline(always)]
    pub const fn ifindex(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_bridge(self) -> bool {
        self.0 & Self::BRIDGE != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.0 as u32 & (Self::BRIDGE as u32 - 1)
    }
}

/// A local pod's interface. All fields but `profile` are written once, before its `Interface` word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// Index of the published [`Profile`]: the one word that a policy change flips.
    pub profile: u64,
    pub mac: Mac,
    /// Never reused while the maps live; 0 is no endpoint.
    pub id: u32,
    /// The host side of the veth, in the node's network namespace.
    pub ifindex: u32,
    /// Network byte order; 0.0.0.0 where the pod has no IPv4 address.
    pub v4: [u8; 4],
    /// Until then a mid-stream TCP packet without an entry needs only its initiator's direction.
    pub adopt_until: Ticks,
    /// Network byte order; `::` where the pod has no IPv6 address.
    pub v6: [u8; 16],
    /// [`Endpoint::PENDING`], [`Endpoint::ROUTER`], [`Endpoint::HELD`].
    pub flags: u64,
}

super::layout!(Endpoint, 56;
    profile @ 0 => u64, mac @ 8 => Mac, id @ 16 => u32, ifindex @ 20 => u32, v4 @ 24 => [u8; 4],
    adopt_until @ 28 => Ticks, v6 @ 32 => [u8; 16], flags @ 48 => u64);

impl Endpoint {
    /// The pod is not known yet: only its own node may talk to it, and it only to its own node.
    pub const PENDING: u64 = 1;
    /// A router pod, by an administrator's word: it speaks for addresses that are no pod's and no node's.
    pub const ROUTER: u64 = 2;
    /// Beside `PENDING`, for moments: its rules do not fit the word of its own node's addresses, and nothing new passes
    /// between the two either.
    pub const HELD: u64 = 4;

    #[must_use]
    #[inline(always)]
    pub const fn is(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// True for the pod's own address of that family.
    #[must_use]
    #[inline(always)]
    pub fn owns(&self, address: &Address) -> bool {
        !address.is_unspecified()
            && if address.is_v4() {
                address.words[3] == u32::from_ne_bytes(self.v4)
            } else {
                *address == Address::v6(self.v6)
            }
    }

    /// True while nothing is decided yet about packets to or from this peer: of the own node that takes [`Self::HELD`].
    #[must_use]
    #[inline(always)]
    pub const fn awaits(&self, peer: Peer) -> bool {
        self.is(if matches!(peer.kind(), PeerKind::OwnNode) { Self::HELD } else { Self::PENDING })
    }

    /// The link-local address that the kernel derives from the MAC (EUI-64, RFC 4291 appendix A).
    #[must_use]
    #[inline(always)]
    pub const fn link_local(&self) -> Address {
        let m = self.mac.octets();
        Address::v6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]])
    }
}

/// How a tenant is held apart from the others (CONTRACT.md §2, §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    #[default]
    Off = 0,
    Audit = 1,
    Baseline = 2,
    Strict = 3,
}

impl Mode {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Baseline => "baseline",
            Self::Strict => "strict",
        }
    }

    /// The mode of a name; `None` for a name that no mode has.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Off, Self::Audit, Self::Baseline, Self::Strict].into_iter().find(|mode| mode.name() == name)
    }
}

/// The rules of one direction of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct DirectionRules {
    /// The program for a peer that has no row in this set.
    pub none: ProgramRef,
    /// The policy set; 0 where nothing selects the pod in this direction.
    pub set: u32,
    /// [`DirectionRules::IDENTITIES`], [`DirectionRules::CLASSES`]: which kinds of rows the set has.
    pub flags: u32,
}

super::layout!(DirectionRules, 16; none @ 0 => ProgramRef, set @ 8 => u32, flags @ 12 => u32);

impl DirectionRules {
    pub const IDENTITIES: u32 = 1;
    pub const CLASSES: u32 = 2;
}

/// What is published for an endpoint, under a new index at every change and never written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Profile {
    /// Indexed by [`Direction`].
    pub rules: [DirectionRules; 2],
    pub tenant: TenantId,
    /// A [`Mode`].
    pub mode: u16,
    /// The agents' port, which the pod may not reach at any node; 0 where it may.
    pub agent_port: u16,
    /// 1: the record has been written. A profile of zeros drops.
    pub written: u64,
}

super::layout!(Profile, 48;
    rules @ 0 => [DirectionRules; 2], tenant @ 32 => TenantId, mode @ 36 => u16, agent_port @ 38 => u16,
    written @ 40 => u64);

impl Profile {
    #[must_use]
    #[inline(always)]
    pub const fn direction(&self, direction: Direction) -> &DirectionRules {
        match direction {
            Direction::Egress => &self.rules[0],
            Direction::Ingress => &self.rules[1],
        }
    }

    /// A number that names no mode reads as the strictest.
    #[must_use]
    #[inline(always)]
    pub const fn mode(&self) -> Mode {
        match self.mode {
            0 => Mode::Off,
            1 => Mode::Audit,
            2 => Mode::Baseline,
            _ => Mode::Strict,
        }
    }
}

/// What is fixed when the programs are loaded (read-only data, so that the verifier prunes what is off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// `net.ipv4.ip_local_port_range` of the node, inclusive.
    pub ephemeral_first: u16,
    pub ephemeral_last: u16,
    /// 1: tunnel packets from a pod to a node's address are judged like any other.
    pub allow_tunnels: u32,
    /// Events a second and CPU; the rest is counted as lost.
    pub events_per_second: u32,
    /// 1: what the node rewrites is judged behind that, and passes a pod's veth undecided.
    pub after_dnat: u32,
}

super::layout!(Settings, 16;
    ephemeral_first @ 0 => u16, ephemeral_last @ 2 => u16, allow_tunnels @ 4 => u32, events_per_second @ 8 => u32,
    after_dnat @ 12 => u32);

impl Default for Settings {
    fn default() -> Self {
        Self { ephemeral_first: 32768, ephemeral_last: 60999, allow_tunnels: 0, events_per_second: 1000, after_dnat: 0 }
    }
}
