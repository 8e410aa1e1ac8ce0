//! The ends of a flow: as they are asked for, and what they are in a world.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use common::abi::Peer;

use crate::model::PodKey;

/// An end as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// `NAMESPACE/POD`
    Pod(PodKey),
    Address(IpAddr),
    /// `node/NAME`
    Node(String),
    /// `svc/NAMESPACE/NAME`
    Service {
        namespace: String,
        name: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => key.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Service { namespace, name } => write!(f, "svc/{namespace}/{name}"),
        }
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let unknown = || {
            format!("`{text}` is no end of a flow, write NAMESPACE/POD, an IP address, node/NAME or svc/NAMESPACE/NAME")
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(unknown());
        }
        match parts[..] {
            ["node", name] => Ok(Self::Node(name.to_owned())),
            ["svc", namespace, name] => Ok(Self::Service { namespace: namespace.to_owned(), name: name.to_owned() }),
            [namespace, name] => Ok(Self::Pod(PodKey { namespace: namespace.to_owned(), name: name.to_owned() })),
            _ => Err(unknown()),
        }
    }
}

/// An end with one address, and what it is in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// As people read it.
    pub name: Arc<str>,
    pub address: IpAddr,
    pub(super) role: Role,
    /// What the address is to policy, but to the node that has it.
    pub(super) peer: Peer,
}

/// Who answers for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A pod with an interface of its own, on that node. Its slot among the engine's endpoints.
    Pod {
        key: PodKey,
        node: String,
        slot: u32,
    },
    /// The node itself, or a pod on its network.
    Host {
        node: String,
    },
    Outside,
}

impl Party {
    /// The pod that is judged at this end; `None` for addresses, nodes and hostNetwork pods.
    #[must_use]
    pub const fn pod(&self) -> Option<&PodKey> {
        match &self.role {
            Role::Pod { key, .. } => Some(key),
            Role::Host { .. } | Role::Outside => None,
        }
    }

    pub(super) const fn same_family(&self, other: &Self) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
    }
}
