//! A policy set: the rules of one direction that the same policies give to pods, in a form that does not
//! depend on who the peers are.

use common::abi::{AdminVerdict, Direction, LowerVerdict, Ranked};

use super::cluster;
use crate::model::{
    Block, ClusterNetworkPolicy, InvalidPolicy, NamespaceScope, NetworkPolicy, ObjectRef, Peer, Pod, Port, Protocol,
    Rule, RuleIndex, Selector,
};

/// The name that stands for every policy of a namespace.
const EVERY: &str = "*";

/// Addressed by its content. Every set is of a pod that some policy selects in that direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicySet {
    pub direction: Direction,
    /// Of rules with one rank, the first that matches is named as what decided.
    pub rules: Vec<SetRule>,
}

/// One rule of a tier: what it says about which peers and ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetRule {
    pub tier: Tier,
    pub says: Ranked,
    /// What decided, as people read it.
    pub source: Vec<ObjectRef>,
    pub peers: Peers,
    /// `None`: whatever the port, and what has no ports too. A name is one of the peer's.
    pub ports: Option<Vec<Port>>,
}

/// The half of a [`common::abi::PortRow`] that a rule speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    Admin,
    /// NetworkPolicy and the Baseline tier, told apart by rank.
    Lower,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peers {
    Any,
    /// Pods, for what they call their ports.
    AnyPod,
    Listed(Vec<SetPeer>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetPeer {
    Pods {
        namespaces: Scope,
        pods: Selector,
    },
    Block(Block),
    /// The addresses of the nodes with these labels.
    Nodes(Selector),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Named(String),
    Selected(Selector),
}

/// The policies that have a say about a pod in one direction.
#[derive(Clone, Debug)]
pub(super) struct Selecting<'a> {
    /// Those that isolate it, by name.
    pub(super) isolating: Vec<&'a NetworkPolicy>,
    /// Those that isolate it and cannot be understood, by name.
    pub(super) invalid: Vec<&'a InvalidPolicy>,
    /// In their place the namespace, where some of its policies isolate the pod and all of them ask for too much.
    pub(super) over: Option<&'a str>,
    /// Those of the Admin tier, and of the Baseline tier unless it is isolated, in the order in which they are asked.
    pub(super) cluster: Vec<&'a ClusterNetworkPolicy>,
}

impl Selecting<'_> {
    /// True where a NetworkPolicy isolates the pod.
    pub(super) fn isolates(&self) -> bool {
        !(self.isolating.is_empty() && self.invalid.is_empty() && self.over.is_none())
    }
}

impl SetPeer {
    /// True for the peer that selects every pod of every namespace.
    pub(super) fn is_every_pod(&self) -> bool {
        let Self::Pods { namespaces: Scope::Selected(namespaces), pods } = self else { return false };
        namespaces.is_empty() && pods.is_empty()
    }
}

impl SetRule {
    /// True for a rule that also matches addresses of pod ranges that no known pod has: Deny and Pass of a
    /// ClusterNetworkPolicy. An Accept or a NetworkPolicy needs to know its peer.
    pub(super) fn matches_unknown_pods(&self) -> bool {
        match self.tier {
            Tier::Admin => matches!(self.says.admin_verdict(), AdminVerdict::Deny | AdminVerdict::Pass),
            Tier::Lower => matches!(self.says.lower_verdict(), LowerVerdict::BaselineDeny | LowerVerdict::Pass),
        }
    }

    /// True for the rule of a NetworkPolicy, not for the drop of what none allows.
    pub(super) fn is_of_network_policy(&self) -> bool {
        let of_one = |source: &ObjectRef| matches!(source, ObjectRef::NetworkPolicy { rule: Some(_), .. });
        self.source.first().is_some_and(of_one)
    }
}

impl PolicySet {
    /// The namespace whose policies isolate the pod; `None` where none does.
    pub(super) fn namespace(&self) -> Option<&str> {
        match self.rules.last()?.source.first()? {
            ObjectRef::NetworkPolicy { namespace, .. } => Some(namespace),
            ObjectRef::ClusterNetworkPolicy { .. }
            | ObjectRef::Tenancy { .. }
            | ObjectRef::Service { .. }
            | ObjectRef::Pod { .. } => None,
        }
    }

    /// The keys of labels of pods, in any namespace, that its rules ask for.
    pub(super) fn pod_keys(&self) -> impl Iterator<Item = &str> {
        let peers = self.rules.iter().filter_map(|rule| match &rule.peers {
            Peers::Listed(peers) => Some(peers),
            Peers::Any | Peers::AnyPod => None,
        });
        peers
            .flatten()
            .flat_map(|peer| match peer {
                SetPeer::Pods { namespaces: Scope::Selected(_), pods } => Some(pods.keys()),
                SetPeer::Pods { namespaces: Scope::Named(_), .. } | SetPeer::Block(_) | SetPeer::Nodes(_) => None,
            })
            .flatten()
    }

    /// The blocks that rules of NetworkPolicies name.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        let rules = self.rules.iter().filter(|rule| rule.is_of_network_policy());
        let peers = rules.filter_map(|rule| match &rule.peers {
            Peers::Listed(peers) => Some(peers),
            Peers::Any | Peers::AnyPod => None,
        });
        peers.flatten().filter_map(|peer| match peer {
            SetPeer::Block(block) => Some(block),
            SetPeer::Pods { .. } | SetPeer::Nodes(_) => None,
        })
    }

    /// The set of a pod that these policies select. The pod matters only for the numbers behind the port names of
    /// its ingress rules.
    #[must_use]
    pub(super) fn of(direction: Direction, selecting: &Selecting<'_>, judged: &Pod) -> Self {
        let mut rules = cluster::rules(direction, &selecting.cluster, judged);
        if selecting.isolates() {
            rules.extend(Self::isolation(direction, selecting, judged));
        }
        Self { direction, rules }
    }

    /// What NetworkPolicies allow, and the drop of everything else.
    fn isolation(direction: Direction, selecting: &Selecting<'_>, judged: &Pod) -> Vec<SetRule> {
        let mut rules = Vec::new();
        for policy in &selecting.isolating {
            for (index, rule) in rules_of(policy, direction).iter().enumerate() {
                let source = vec![reference(policy, Some(RuleIndex { direction, index }))];
                rules.extend(set_rules(direction, policy, rule, &source, judged));
            }
        }
        if let Some(namespace) = selecting.over {
            let every =
                ObjectRef::NetworkPolicy { namespace: namespace.to_owned(), name: EVERY.to_owned(), rule: None };
            rules.push(drop_rest(Ranked::lower(2, LowerVerdict::Capacity), vec![every]));
            return rules;
        }
        // What the rules of the one that is not understood would have allowed, nobody knows: the drop names that one.
        rules.push(if selecting.invalid.is_empty() {
            let source = selecting.isolating.iter().map(|policy| reference(policy, None)).collect();
            drop_rest(Ranked::lower(3, LowerVerdict::DefaultDeny), source)
        } else {
            let source = selecting.invalid.iter().map(|policy| ObjectRef::NetworkPolicy {
                namespace: policy.namespace.clone(),
                name: policy.name.clone(),
                rule: None,
            });
            let over_share = selecting.invalid.iter().all(|policy| policy.over_share);
            let says = if over_share { LowerVerdict::Capacity } else { LowerVerdict::Invalid };
            drop_rest(Ranked::lower(2, says), source.collect())
        });
        rules
    }
}

fn drop_rest(says: Ranked, source: Vec<ObjectRef>) -> SetRule {
    SetRule { tier: Tier::Lower, says, source, peers: Peers::Any, ports: None }
}

pub(super) fn rules_of(policy: &NetworkPolicy, direction: Direction) -> &[Rule] {
    isolating(policy, direction).unwrap_or_default()
}

/// The rules of a policy in a direction that it isolates.
pub(super) fn isolating(policy: &NetworkPolicy, direction: Direction) -> Option<&[Rule]> {
    match direction {
        Direction::Egress => policy.egress.as_deref(),
        Direction::Ingress => policy.ingress.as_deref(),
    }
}

fn reference(policy: &NetworkPolicy, rule: Option<RuleIndex>) -> ObjectRef {
    ObjectRef::NetworkPolicy { namespace: policy.namespace.clone(), name: policy.name.clone(), rule }
}

/// One rule of a policy, taken apart by how its peers count and by where its port names are looked up.
fn set_rules(
    direction: Direction,
    policy: &NetworkPolicy,
    rule: &Rule,
    source: &[ObjectRef],
    judged: &Pod,
) -> Vec<SetRule> {
    let ports = match (rule.ports.as_slice(), direction) {
        ([], _) => None,
        (ports, Direction::Egress) => Some(ports.to_vec()),
        (ports, Direction::Ingress) => Some(ports.iter().flat_map(|port| numbers(port, judged)).collect()),
    };
    let make = |says, peers, ports| SetRule { tier: Tier::Lower, says, source: source.to_vec(), peers, ports };
    let mut made = Vec::new();
    let (named, other): (Vec<_>, Vec<_>) =
        rule.peers.iter().partition(|peer| direction == Direction::Ingress && peer.names_namespaces());
    for (peers, says) in [(named, allow(0, LowerVerdict::AllowNamed)), (other, allow(1, LowerVerdict::Allow))] {
        if !peers.is_empty() {
            let listed = peers.into_iter().map(|peer| set_peer(policy, peer)).collect();
            made.push(make(says, Peers::Listed(listed), ports.clone()));
        }
    }
    if rule.peers.is_empty() {
        let is_named = |port: &Port| matches!(port, Port::Named(..));
        let says = allow(1, LowerVerdict::Allow);
        let names = ports.iter().flatten().filter(|port| is_named(port)).cloned().collect();
        made.push(make(says, Peers::AnyPod, Some(names)));
        let numbers = ports.map(|ports| ports.into_iter().filter(|port| !is_named(port)).collect());
        made.push(make(says, Peers::Any, numbers));
    }
    // An empty list would be no restriction to a reader in a hurry: a rule without a port left matches nothing.
    made.retain(|rule| rule.ports.as_ref().is_none_or(|ports| !ports.is_empty()));
    made
}

const fn allow(rank: u32, verdict: LowerVerdict) -> Ranked {
    Ranked::lower(rank, verdict)
}

fn set_peer(policy: &NetworkPolicy, peer: &Peer) -> SetPeer {
    match peer {
        Peer::Block(block) => SetPeer::Block(block.clone()),
        Peer::Pods { namespaces, pods } => SetPeer::Pods {
            namespaces: match namespaces {
                NamespaceScope::Own => Scope::Named(policy.namespace.clone()),
                NamespaceScope::Selected(selector) => Scope::Selected(selector.clone()),
            },
            pods: pods.clone().unwrap_or_default(),
        },
    }
}

/// A port of an ingress rule, with its name replaced by the numbers that the judged pod has for it.
pub(super) fn numbers(port: &Port, judged: &Pod) -> Vec<Port> {
    match port {
        Port::Named(protocol, name) => {
            named_numbers(judged, *protocol, name).into_iter().map(|n| Port::Range(*protocol, n, n)).collect()
        }
        Port::All(_) | Port::Range(..) => vec![port.clone()],
    }
}

/// The numbers that a pod has for a port's name, ascending.
pub(super) fn named_numbers(pod: &Pod, protocol: Protocol, name: &str) -> Vec<u16> {
    let named = pod.ports.iter().filter(|port| port.is_named(protocol, name));
    let mut numbers: Vec<u16> = named.map(|port| port.port).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
