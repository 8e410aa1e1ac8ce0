//! The order of judgement of CONTRACT.md §3, read off the model one policy at a time: slow, and without any of
//! the compiler's ideas.

use std::net::IpAddr;

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::model::tenants::Tenancy;
use policy::model::{
    Block, Isolation, NamespaceScope, NetworkPolicy, ObjectRef, Peer, Pod, PodKey, PolicyTier, Port, Protocol, Rule,
    RuleIndex,
};

use super::Scene;

mod cluster;

/// Who has an address.
enum Other<'a> {
    Pod(&'a Pod),
    UnknownPod,
    OwnNode,
    DistantNode,
    Outside,
}

/// A verdict, and what may be named for it: for an allow any one of the rules, for a default deny all policies.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub verdict: Verdict,
    pub rules: Vec<ObjectRef>,
}

impl Expected {
    pub fn agrees(&self, verdict: Verdict, rules: &[ObjectRef]) -> bool {
        let named = match verdict {
            Verdict::Allow(AllowReason::NetworkPolicy) => rules.len() == 1 && self.rules.contains(&rules[0]),
            _ => self.rules == rules,
        };
        self.verdict == verdict && named
    }
}

struct Case<'a> {
    scene: &'a Scene,
    judged: &'a Pod,
    direction: Direction,
    other: Other<'a>,
    address: IpAddr,
    protocol: u8,
    port: u16,
}

pub fn judge(
    scene: &Scene,
    judged: &PodKey,
    direction: Direction,
    address: IpAddr,
    protocol: u8,
    port: u16,
) -> Expected {
    let other = other(scene, address);
    let judged = &scene.world.pods[judged];
    Case { scene, judged, direction, other, address, protocol, port }.judge()
}

fn other(scene: &Scene, address: IpAddr) -> Other<'_> {
    let world = &scene.world;
    let mut owners = world.pods.values().filter(|pod| !pod.host_network && pod.addresses.contains(&address));
    if let Some(pod) = owners.next() {
        return if world.namespaces.contains_key(&pod.namespace) { Other::Pod(pod) } else { Other::UnknownPod };
    }
    if scene.node.addresses.contains(&address) || world.nodes[&scene.node.name].addresses.contains(&address) {
        return Other::OwnNode;
    }
    if world.nodes.values().any(|node| node.addresses.contains(&address)) {
        return Other::DistantNode;
    }
    let in_range = world.nodes.values().flat_map(|node| &node.pod_cidrs).any(|range| range.contains(&address));
    if in_range { Other::UnknownPod } else { Other::Outside }
}

impl Case<'_> {
    fn judge(&self) -> Expected {
        let plain = |verdict| Expected { verdict, rules: Vec::new() };
        let own_node = matches!(self.other, Other::OwnNode);
        if own_node && self.direction == Direction::Ingress {
            return plain(Verdict::Allow(AllowReason::OwnNode));
        }
        if let Some(decided) = self.tier(PolicyTier::Admin) {
            return decided;
        }
        let tenancy = Tenancy::of(&self.scene.world, &self.scene.config);
        let own = tenancy.membership(self.judged).unwrap();
        if self.calls_agent() && own.tenant.is_some() && own.mode != Isolation::Audit {
            return plain(Verdict::Drop(DropReason::TenantIsolation));
        }
        if own_node {
            return plain(Verdict::Allow(AllowReason::OwnNode));
        }
        let foreign = own.tenant.and_then(|own| match self.other {
            Other::UnknownPod => Some(DropReason::UnknownEndpoint),
            Other::Pod(pod) => tenancy.membership(pod).unwrap().tenant.filter(|other| *other != own).map(|other| {
                let quarantine = [own, other].iter().any(|it| tenancy.tenants()[*it].is_quarantine());
                if quarantine { DropReason::Quarantine } else { DropReason::TenantIsolation }
            }),
            Other::OwnNode | Other::DistantNode | Other::Outside => None,
        });
        if let (Isolation::Strict, Some(reason)) = (own.mode, foreign) {
            return plain(Verdict::Drop(reason));
        }
        let guarded = own.mode == Isolation::Baseline && self.direction == Direction::Ingress;
        let isolated = foreign.filter(|_| guarded);
        self.network_policies(isolated)
            .or_else(|| self.tier(PolicyTier::Baseline))
            .unwrap_or_else(|| plain(isolated.map_or(Verdict::Allow(AllowReason::NoPolicy), Verdict::Drop)))
    }

    fn calls_agent(&self) -> bool {
        self.direction == Direction::Egress
            && self.port == self.scene.config.agent_port
            && matches!(self.other, Other::OwnNode | Other::DistantNode)
    }

    fn network_policies(&self, isolated: Option<DropReason>) -> Option<Expected> {
        let policies: Vec<(&NetworkPolicy, &Vec<Rule>)> = self
            .scene
            .world
            .network_policies
            .values()
            .filter(|policy| policy.namespace == self.judged.namespace && policy.subject.matches(&self.judged.labels))
            .filter_map(|policy| {
                let rules = match self.direction {
                    Direction::Egress => policy.egress.as_ref(),
                    Direction::Ingress => policy.ingress.as_ref(),
                };
                Some((policy, rules?))
            })
            .collect();
        if policies.is_empty() {
            return None;
        }
        let reference = |policy: &NetworkPolicy, rule| ObjectRef::NetworkPolicy {
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            rule,
        };
        let (mut by_name, mut by_other) = (Vec::new(), Vec::new());
        for (policy, rules) in &policies {
            for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| self.port_matches(&rule.ports)) {
                let source = reference(policy, Some(RuleIndex { direction: self.direction, index }));
                let matching = || rule.peers.iter().filter(|peer| self.peer_matches(policy, peer));
                if self.direction == Direction::Ingress && matching().any(Peer::names_namespaces) {
                    by_name.push(source);
                } else if rule.peers.is_empty() || matching().next().is_some() {
                    by_other.push(source);
                }
            }
        }
        let allow = |rules| Expected { verdict: Verdict::Allow(AllowReason::NetworkPolicy), rules };
        Some(match (by_name.is_empty(), by_other.is_empty(), isolated) {
            (false, ..) => allow(by_name),
            (true, false, None) => allow(by_other),
            (true, false, Some(reason)) => Expected { verdict: Verdict::Drop(reason), rules: Vec::new() },
            (true, true, _) => {
                let unknown = matches!(self.other, Other::UnknownPod);
                let reason = if unknown { DropReason::UnknownEndpoint } else { DropReason::DefaultDeny };
                let rules = policies.iter().map(|(policy, _)| reference(policy, None)).collect();
                Expected { verdict: Verdict::Drop(reason), rules }
            }
        })
    }

    fn peer_matches(&self, policy: &NetworkPolicy, peer: &Peer) -> bool {
        match (peer, &self.other) {
            (_, Other::UnknownPod) => false,
            (Peer::Block(Block { cidr, except }), _) => {
                cidr.contains(&self.address) && !except.iter().any(|except| except.contains(&self.address))
            }
            (Peer::Pods { namespaces, pods }, Other::Pod(pod)) => {
                let in_namespace = match namespaces {
                    NamespaceScope::Own => pod.namespace == policy.namespace,
                    NamespaceScope::Selected(selector) => {
                        selector.matches(&self.scene.world.namespaces[&pod.namespace].labels)
                    }
                };
                in_namespace && pods.as_ref().is_none_or(|pods| pods.matches(&pod.labels))
            }
            (Peer::Pods { .. }, Other::OwnNode | Other::DistantNode | Other::Outside) => false,
        }
    }

    fn port_matches(&self, ports: &[Port]) -> bool {
        let is = |protocol: &Protocol| protocol.number() == self.protocol;
        let destination = match (self.direction, &self.other) {
            (Direction::Ingress, _) => Some(self.judged),
            (Direction::Egress, Other::Pod(pod)) => Some(*pod),
            (Direction::Egress, _) => None,
        };
        ports.is_empty()
            || ports.iter().any(|port| match port {
                Port::All(protocol) => is(protocol),
                Port::Range(protocol, first, last) => is(protocol) && (*first..=*last).contains(&self.port),
                Port::Named(protocol, name) => {
                    let mut ports = destination.iter().flat_map(|pod| &pod.ports);
                    is(protocol)
                        && ports.any(|it| {
                            it.protocol == *protocol
                                && it.name.as_deref() == Some(name.as_str())
                                && it.port == self.port
                        })
                }
            })
    }
}
