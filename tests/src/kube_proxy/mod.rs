//! The destination rules of kube-proxy and of the portmap plugin, read back from a node: each address and port that they
//! rewrite, and each address and port that it may become.

pub mod believed;
pub mod cases;
mod iptables;
mod nftables;
pub mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use iptables::read as read_iptables;
pub use nftables::read as read_nftables;
use policy::model::Protocol;

/// The destination of a packet before anything is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub at: At,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Address(IpAddr),
    /// Every local address of the node, of one family.
    Node {
        v4: bool,
    },
}

/// By call, its ends. A call without ends is refused or dropped by the node.
pub type Rewritten = BTreeMap<Call, BTreeSet<SocketAddr>>;

impl Call {
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        match self.at {
            At::Address(address) => address.is_ipv4(),
            At::Node { v4 } => v4,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, protocol, port } = self;
        match at {
            At::Address(address) => write!(f, "{} ", SocketAddr::new(*address, *port))?,
            At::Node { v4 } => write!(f, "node{}:{port} ", if *v4 { "" } else { "6" })?,
        }
        f.write_str(&protocol.name().to_lowercase())
    }
}

fn protocol(name: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
}
