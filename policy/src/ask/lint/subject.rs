//! A world as the rules of the lint look at it.

use common::abi::Direction;

use super::{Config, Engine, LintFinding, Severity, World};
use crate::model::tenants::{Membership, Tenancy};
use crate::model::{
    Block, ClusterNetworkPolicy, ClusterPeer, ClusterRule, NamespaceScope, NetworkPolicy, Peer, Pod, Pods, Rule,
};

pub(super) struct Subject<'a> {
    pub engine: &'a Engine<'a>,
    pub world: &'a World,
    pub tenancy: Tenancy<'a>,
}

/// A rule of a policy, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub policy: &'a NetworkPolicy,
    pub direction: Direction,
    pub index: usize,
    pub rule: &'a Rule,
}

impl<'a> Subject<'a> {
    pub fn new(engine: &'a Engine<'a>, config: &'a Config) -> Self {
        Self { engine, world: engine.world, tenancy: Tenancy::of(engine.world, config) }
    }

    pub fn policies(&self) -> impl Iterator<Item = &'a NetworkPolicy> {
        self.world.network_policies.values()
    }

    /// Every rule that has an effect.
    pub fn rules(&self) -> impl Iterator<Item = Placed<'a>> {
        self.policies().flat_map(|policy| Direction::ALL.into_iter().flat_map(move |at| rules(policy, at)))
    }

    /// In the order in which they are asked.
    pub fn cluster_policies(&self) -> Vec<&'a ClusterNetworkPolicy> {
        let mut policies: Vec<_> = self.world.cluster_network_policies.values().collect();
        policies.sort_by_key(|policy| (policy.tier, policy.priority, &policy.name));
        policies
    }

    /// Their rules, tier by tier and direction by direction in the order in which they are asked.
    pub fn cluster_rules(&self) -> Vec<ClusterPlaced<'a>> {
        let policies = self.cluster_policies();
        let placed = |direction| {
            policies.iter().flat_map(move |policy| {
                let rules = cluster_rules(policy, direction).iter().enumerate();
                rules.map(move |(index, rule)| ClusterPlaced { policy, direction, index, rule })
            })
        };
        Direction::ALL.into_iter().flat_map(placed).collect()
    }

    /// True for pods of a ClusterNetworkPolicy that the pod is one of.
    pub fn is_of(&self, pods: &Pods, pod: &Pod) -> bool {
        let namespace = self.world.namespaces.get(&pod.namespace);
        namespace.is_some_and(|own| pods.namespaces.matches(&own.labels)) && pods.pods.matches(&pod.labels)
    }

    /// The pods that policy can be about.
    pub fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.world.pods.values().filter(|pod| !pod.host_network)
    }

    /// The pods that a policy selects.
    pub fn selected(&self, policy: &'a NetworkPolicy) -> impl Iterator<Item = &'a Pod> {
        self.pods().filter(move |pod| pod.namespace == policy.namespace && policy.subject.matches(&pod.labels))
    }

    /// The policies that isolate a pod in a direction, by name.
    pub fn isolating(&self, pod: &Pod, direction: Direction) -> Vec<&'a NetworkPolicy> {
        let selects =
            |policy: &&NetworkPolicy| policy.namespace == pod.namespace && policy.subject.matches(&pod.labels);
        self.policies().filter(selects).filter(|policy| isolates(policy, direction).is_some()).collect()
    }

    /// True for a peer of a policy in that namespace that matches the pod.
    pub fn matches(&self, namespace: &str, peer: &Peer, pod: &Pod) -> bool {
        match peer {
            Peer::Pods { namespaces, pods } => {
                self.in_scope(namespace, namespaces, pod) && pods.as_ref().is_none_or(|pods| pods.matches(&pod.labels))
            }
            Peer::Block(block) => pod.addresses.iter().any(|address| holds(block, *address)),
        }
    }

    pub fn in_scope(&self, namespace: &str, scope: &NamespaceScope, pod: &Pod) -> bool {
        match scope {
            NamespaceScope::Own => pod.namespace == namespace,
            NamespaceScope::Selected(selector) => {
                self.world.namespaces.get(&pod.namespace).is_some_and(|own| selector.matches(&own.labels))
            }
        }
    }

    pub fn membership(&self, pod: &Pod) -> Option<Membership> {
        self.tenancy.membership(pod)
    }

    /// The name of a pod's tenant; `None` for the platform's.
    pub fn tenant(&self, pod: &Pod) -> Option<&str> {
        self.tenancy.names().get(self.membership(pod)?.tenant?).map(String::as_str)
    }
}

/// The same for a ClusterNetworkPolicy.
#[derive(Clone, Copy)]
pub(super) struct ClusterPlaced<'a> {
    pub policy: &'a ClusterNetworkPolicy,
    pub direction: Direction,
    pub index: usize,
    pub rule: &'a ClusterRule,
}

impl<'a> ClusterPlaced<'a> {
    /// `clusternetworkpolicy/NAME`
    pub fn object(&self) -> String {
        cluster_name_of(self.policy)
    }

    /// `spec.ingress[0]`
    pub fn field(&self) -> String {
        format!("spec.{}[{}]", self.direction.name(), self.index)
    }

    /// Every peer with its field, `spec.ingress[0].from[1]`.
    pub fn peers(&self) -> impl Iterator<Item = (String, &'a ClusterPeer)> {
        let field = format!("{}.{}", self.field(), side(self.direction));
        self.rule.peers.iter().enumerate().map(move |(index, peer)| (format!("{field}[{index}]"), peer))
    }
}

impl<'a> Placed<'a> {
    /// `spec.ingress[0]`
    pub fn field(&self) -> String {
        format!("spec.{}[{}]", self.direction.name(), self.index)
    }

    /// Every peer with its field, `spec.ingress[0].from[1]`.
    pub fn peers(&self) -> impl Iterator<Item = (String, &'a Peer)> {
        let field = format!("{}.{}", self.field(), side(self.direction));
        self.rule.peers.iter().enumerate().map(move |(index, peer)| (format!("{field}[{index}]"), peer))
    }
}

const fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    }
}

pub(super) fn cluster_name_of(policy: &ClusterNetworkPolicy) -> String {
    format!("clusternetworkpolicy/{}", policy.name)
}

/// The rules of a policy in a direction that it isolates.
pub(super) const fn isolates(policy: &NetworkPolicy, direction: Direction) -> Option<&Vec<Rule>> {
    match direction {
        Direction::Egress => policy.egress.as_ref(),
        Direction::Ingress => policy.ingress.as_ref(),
    }
}

pub(super) fn rules(policy: &NetworkPolicy, direction: Direction) -> impl Iterator<Item = Placed<'_>> {
    let rules = isolates(policy, direction).into_iter().flatten().enumerate();
    rules.map(move |(index, rule)| Placed { policy, direction, index, rule })
}

pub(super) fn holds(block: &Block, address: std::net::IpAddr) -> bool {
    block.cidr.contains(&address) && !block.except.iter().any(|except| except.contains(&address))
}

pub(super) fn cluster_rules(policy: &ClusterNetworkPolicy, direction: Direction) -> &[ClusterRule] {
    match direction {
        Direction::Egress => &policy.egress,
        Direction::Ingress => &policy.ingress,
    }
}

pub(super) fn name_of(policy: &NetworkPolicy) -> String {
    format!("networkpolicy/{}/{}", policy.namespace, policy.name)
}

/// A warning about an object.
pub(super) fn warning(
    rule: &'static str,
    object: impl Into<String>,
    field: impl Into<String>,
    message: impl Into<String>,
    remedy: impl Into<String>,
) -> LintFinding {
    LintFinding {
        object: object.into(),
        field: field.into(),
        severity: Severity::Warning,
        rule,
        message: message.into(),
        remedy: remedy.into(),
    }
}

/// `1 pod`, `2 pods`
pub(super) fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
