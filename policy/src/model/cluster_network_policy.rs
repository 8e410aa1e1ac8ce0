//! ClusterNetworkPolicy `policy.networking.k8s.io/v1alpha2` (network-policy-api v0.2.0,
//! `apis/v1alpha2/clusternetworkpolicy_types.go`), both channels.

use ipnet::IpNet;

use super::{Port, Selector};

/// A policy of the cluster's administrators, above or below every NetworkPolicy. It isolates nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterNetworkPolicy {
    pub name: String,
    pub tier: PolicyTier,
    /// 0 to 1000, the lower one is asked first. Of two policies with the same one the name decides.
    pub priority: u16,
    pub subject: Pods,
    /// The first rule that matches decides.
    pub ingress: Vec<ClusterRule>,
    pub egress: Vec<ClusterRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyTier {
    /// Before tenancy and NetworkPolicies.
    Admin,
    /// For pods that no NetworkPolicy isolates.
    Baseline,
}

impl PolicyTier {
    /// As the API writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Baseline => "Baseline",
        }
    }
}

/// Pods by their namespace's labels and their own; an empty selector matches all. Never hostNetwork pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pods {
    pub namespaces: Selector,
    pub pods: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterRule {
    pub action: Action,
    /// Never empty.
    pub peers: Vec<ClusterPeer>,
    /// Empty: not restricted by port, nor by protocol.
    pub ports: Vec<Port>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Accept,
    Deny,
    /// Leaves the tier: its other rules are not asked.
    Pass,
}

impl Action {
    /// As the API writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterPeer {
    Pods(Pods),
    /// Host bits cleared. Addresses of pods too.
    Networks(Vec<IpNet>),
    /// All addresses of the nodes with these labels.
    Nodes(Selector),
    /// Names are not resolved: it matches nothing. Only in rules that accept.
    Domains(Vec<String>),
    /// Of a kind that is not known. A rule that accepts then matches nothing; any other denies everything.
    Unknown,
}

impl ClusterRule {
    /// True where one of the peers cannot be understood.
    #[must_use]
    pub fn has_unknown_peer(&self) -> bool {
        self.peers.contains(&ClusterPeer::Unknown)
    }
}
