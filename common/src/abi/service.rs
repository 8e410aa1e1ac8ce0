//! Services: addresses that are called, and what is behind them.

use super::{Address, Direction, Peer, PortKey, Profile};

/// Key of the `SERVICE` map: what is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct ServiceKey {
    /// Unspecified, of its family: that of any node. Loopback: that of any pod which is claimed.
    pub address: Address,
    pub port: PortKey,
}

super::layout!(ServiceKey, 20; address @ 0 => Address, port @ 16 => PortKey);

impl ServiceKey {
    /// A port of every node.
    #[must_use]
    #[inline(always)]
    pub const fn of_nodes(v4: bool, port: PortKey) -> Self {
        let address = if v4 { Address::UNSPECIFIED_V4 } else { Address { words: [0; 4] } };
        Self { address, port }
    }

    /// True for a key that stands for several addresses.
    #[must_use]
    #[inline(always)]
    pub const fn is_of_any(&self) -> bool {
        self.address.is_unspecified() || self.address.is_loopback()
    }

    /// A port of every pod whose address is claimed ([`Peer::is_claimed`]), where there is no room for each of them.
    #[must_use]
    #[inline(always)]
    pub const fn of_claimed_pods(v4: bool, port: PortKey) -> Self {
        let address = if v4 { Address::v4([127, 0, 0, 1]) } else { Address { words: [0, 0, 0, u32::from_be(1)] } };
        Self { address, port }
    }
}

/// Value of the `SERVICE` map: where an address and port lead.
///
/// bits 0–31 the number of the backends, 32 chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Lead(pub u64);

impl Lead {
    const CHOSEN: u64 = 1 << 32;

    #[must_use]
    pub const fn new(backends: u32) -> Self {
        Self(backends as u64)
    }

    /// Whoever may write a Service or a pod chose the address: a call must be allowed to the address itself, too.
    #[must_use]
    pub const fn chosen(self) -> Self {
        Self(self.0 | Self::CHOSEN)
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_chosen(self) -> bool {
        self.0 & Self::CHOSEN != 0
    }

    /// The number of the backends.
    #[must_use]
    #[inline(always)]
    pub const fn backends(self) -> u32 {
        self.0 as u32
    }
}

/// A kind of backend: all that policy can tell of an end that a Service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Backend {
    pub peer: Peer,
    /// bits 0–15 the port that it is called at, 32 [`Backend::differ`].
    word: u64,
}

super::layout!(Backend, 16; peer @ 0 => Peer, word @ 8 => u64);

impl Backend {
    const DIFFER: u64 = 1 << 32;

    #[must_use]
    pub const fn new(peer: Peer, port: u16) -> Self {
        Self { peer, word: port as u64 }
    }

    /// The one that refuses, where others do not.
    #[must_use]
    pub const fn differ(self) -> Self {
        Self { peer: self.peer, word: self.word | Self::DIFFER }
    }

    #[must_use]
    #[inline(always)]
    pub const fn port(&self) -> u16 {
        self.word as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn differs(&self) -> bool {
        self.word & Self::DIFFER != 0
    }
}

/// The ends of a Service's port, published under a new number at every change and never written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Backends {
    /// The address behind it, where there is only one: a pod that has it calls itself. Unspecified otherwise.
    pub alone: Address,
    /// The kind of all backends, where `kinds` is [`Backends::ONE`].
    pub only: Backend,
    /// [`Backends::ONE`], [`Backends::SEVERAL`]; 0 where nobody can tell.
    pub kinds: u64,
}

super::layout!(Backends, 40; alone @ 0 => Address, only @ 16 => Backend, kinds @ 32 => u64);

impl Backends {
    pub const ONE: u64 = 1;
    /// The `DELEGATE` map has the one that is asked for all.
    pub const SEVERAL: u64 = 2;
    /// Where nobody can tell: as an array holds it where nothing was ever written.
    pub const UNKNOWN: Self =
        Self { alone: Address { words: [0; 4] }, only: Backend { peer: Peer::EXTERNAL, word: 0 }, kinds: 0 };
}

/// Key of the `DELEGATE` map: all that a verdict about backends depends on. Its value is the [`Backend`] whose verdict
/// holds for each of them, or the first that refuses where others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct DelegateKey {
    pub backends: u32,
    /// The caller's policy set for egress.
    pub set: u32,
    /// bits 0–23 the caller's tenant, 24–31 its mode.
    pub membership: u32,
}

super::layout!(DelegateKey, 12; backends @ 0 => u32, set @ 4 => u32, membership @ 8 => u32);

impl DelegateKey {
    #[must_use]
    #[inline(always)]
    pub const fn new(backends: u32, caller: &Profile) -> Self {
        let set = caller.direction(Direction::Egress).set;
        Self { backends, set, membership: caller.tenant.0 | (caller.mode() as u32) << 24 }
    }
}
