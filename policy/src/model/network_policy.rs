//! NetworkPolicy `networking.k8s.io/v1`, with the API server's defaults applied.

use ipnet::IpNet;

use super::{Protocol, Selector};

/// A policy; `None` for a direction means that it does not isolate in that direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkPolicy {
    pub namespace: String,
    pub name: String,
    /// Which pods of the policy's namespace it isolates.
    pub subject: Selector,
    /// `Some` where policyTypes names Ingress: the rules, none of which means deny all.
    pub ingress: Option<Vec<Rule>>,
    pub egress: Option<Vec<Rule>>,
}

/// Allows what matches one of the peers and one of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Empty: not restricted by peer (`from`/`to` absent or `[]`).
    pub peers: Vec<Peer>,
    /// Empty: not restricted by port, nor by protocol.
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// Pods by namespace and label; `pods: None` is all pods there.
    Pods { namespaces: NamespaceScope, pods: Option<Selector> },
    /// Addresses, those of pods too.
    Block(Block),
}

/// Where a peer's pods live.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceScope {
    /// No namespaceSelector: the policy's own namespace.
    Own,
    Selected(Selector),
}

/// `except` belongs to this entry only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// Host bits cleared.
    pub cidr: IpNet,
    pub except: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// All ports of a protocol.
    All(Protocol),
    /// Inclusive.
    Range(Protocol, u16, u16),
    /// By name and protocol on the destination pod.
    Named(Protocol, String),
}

impl Peer {
    /// True where the peer's namespaceSelector has at least one requirement (CONTRACT.md §3, step 3).
    #[must_use]
    pub const fn names_namespaces(&self) -> bool {
        matches!(self, Self::Pods { namespaces: NamespaceScope::Selected(selector), .. } if !selector.is_empty())
    }
}
