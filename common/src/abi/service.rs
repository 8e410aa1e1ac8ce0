//! Services: what is called, and what is behind it.

use super::{Address, Peer, PortKey};

/// Key of the `SERVICE` map: what is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct ServiceKey {
    /// Unspecified, of its family: that of any node.
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
}

/// What is behind a Service's port, published under a new number at every change and never written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Backends {
    /// The address behind it, where there is only one: whose address it is, calls itself. Unspecified otherwise.
    pub alone: Address,
    /// What its backends are to policy, each kind once, with the port that it is called at.
    pub peers: [Peer; Self::MOST],
    pub ports: [u16; Self::MOST],
    /// How many there are; 0 where that is not known or there are more than fit.
    pub count: u64,
}

super::layout!(Backends, 104;
    alone @ 0 => Address, peers @ 16 => [Peer; 8], ports @ 80 => [u16; 8], count @ 96 => u64);

impl Backends {
    /// Kinds that a verdict is found for at once.
    pub const MOST: usize = 8;
    /// What a Service leads to of which nobody can tell: as an array holds it where nothing was ever written.
    pub const UNKNOWN: Self = Self {
        alone: Address { words: [0; 4] },
        peers: [Peer::EXTERNAL; Self::MOST],
        ports: [0; Self::MOST],
        count: 0,
    };

    /// The kinds, each with its port.
    pub fn kinds(&self) -> impl Iterator<Item = (Peer, u16)> {
        let count = usize::try_from(self.count).unwrap_or(Self::MOST);
        self.peers.into_iter().zip(self.ports).take(count)
    }
}
