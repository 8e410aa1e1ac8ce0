//! Closed pods: those that let no pod of another tenant in, whatever it asks for, while they would let in what comes
//! from a node's address. Where a node rewrites senders, only the sender's own node can hold them apart
//! (DESIGN.md §6, *guarded*).
//!
//! In doubt a pod is not closed, and its own node judges: which rules match is looked at by namespace, not by pod, and
//! not by port. Nor is one closed that lets nothing in from a node's address: its own node needs no help.

use super::hash::HashMap;
use super::identity::{Identities, Known};
use super::meter::Meter;
use super::namespaces::Namespaces;
use super::policies::Policies;
use crate::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, InvalidPolicy, Isolation, Namespace, NamespaceScope, Peer,
    PolicyTier, Rule, Selector, World,
};

/// Which tenants' pods a rule may let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Admits {
    #[default]
    Nobody,
    One(usize),
    Several,
}

impl Admits {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, it) | (it, Self::Nobody) => it,
            (Self::One(a), Self::One(b)) if a == b => self,
            _ => Self::Several,
        }
    }

    const fn another_than(self, tenant: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(only) => only != tenant,
            Self::Several => true,
        }
    }
}

/// A policy that may let pods of tenants in, and whom.
struct Door<'a> {
    pods: &'a Selector,
    admits: Admits,
    /// Somebody may come in from a node's address.
    is_wide: bool,
}

/// For each of [`Identities::pods`] whether it is closed.
///
/// Of a namespace whose policies are too many to look at, no pod is.
pub(super) fn closed(
    world: &World,
    policies: &Policies<'_>,
    namespaces: &Namespaces<'_>,
    identities: &Identities<'_>,
    meter: &mut Meter<'_>,
) -> Vec<bool> {
    let mut doors = Doors::of(world, policies, namespaces, identities);
    let mut closed = Vec::with_capacity(identities.pods.len());
    for own in &identities.namespaces {
        let pods = &identities.pods[own.pods.clone()];
        let namespace = own.namespace;
        let work = doors.size(namespace).saturating_mul(pods.len().max(world.namespaces.len()));
        if !meter.affords(&namespace.name, work) {
            closed.extend(pods.iter().map(|_| false));
            continue;
        }
        let policies = doors.of_policies(namespace);
        let [admin, baseline] = [PolicyTier::Admin, PolicyTier::Baseline].map(|tier| doors.of_tier(tier, namespace));
        closed.extend(pods.iter().map(|known| is_closed(known, &policies, &admin, &baseline)));
    }
    closed
}

fn is_closed(known: &Known<'_>, policies: &[Door<'_>], admin: &[Door<'_>], baseline: &[Door<'_>]) -> bool {
    let Some(tenant) = known.membership.tenant else { return false };
    let selects = |door: &Door<'_>| door.pods.matches(&known.pod.labels);
    let opens = |doors: &[Door<'_>]| doors.iter().any(|door| door.admits.another_than(tenant) && selects(door));
    let is_isolated = policies.iter().any(selects);
    let is_wide = || policies.iter().any(|door| door.is_wide && selects(door));
    let opened = match known.membership.mode {
        Isolation::Off | Isolation::Audit => return false,
        Isolation::Strict => opens(admin),
        Isolation::Baseline => opens(admin) || opens(policies) || !is_isolated && opens(baseline),
    };
    !opened && (!is_isolated || is_wide())
}

/// Finds the doors of a world, each selector of namespaces evaluated once.
struct Doors<'a, 'w> {
    world: &'w World,
    policies: &'a Policies<'w>,
    namespaces: &'a Namespaces<'w>,
    /// By the namespace's place: whose pods are there.
    tenants: Vec<Admits>,
    admitted: HashMap<&'w Selector, Admits>,
}

impl<'a, 'w> Doors<'a, 'w> {
    fn of(
        world: &'w World,
        policies: &'a Policies<'w>,
        namespaces: &'a Namespaces<'w>,
        identities: &Identities<'_>,
    ) -> Self {
        let mut tenants = vec![Admits::Nobody; namespaces.len()];
        for own in &identities.namespaces {
            let there = identities.list[own.identities.clone()].iter().filter_map(|identity| identity.tenant);
            tenants[own.place] = there.fold(Admits::Nobody, |admits, tenant| admits.and(Admits::One(tenant)));
        }
        Self { world, policies, namespaces, tenants, admitted: HashMap::default() }
    }

    /// Rules and peers of the policies that isolate a namespace's pods from ingress: each may be held against every pod
    /// of the namespace, or against every namespace.
    fn size(&self, namespace: &Namespace) -> usize {
        let rules = self.policies.of_namespace(&namespace.name).iter().filter_map(|policy| policy.ingress.as_ref());
        let peers = rules.flatten().map(|rule| 1 + rule.peers.len());
        peers.sum::<usize>() + self.invalid(namespace).count()
    }

    /// Those that are not understood and isolate pods of a namespace from ingress.
    fn invalid(&self, namespace: &Namespace) -> impl Iterator<Item = &'w InvalidPolicy> {
        self.policies.invalid(&namespace.name).iter().copied().filter(|policy| policy.isolates_ingress)
    }

    /// The NetworkPolicies that isolate pods of a namespace from ingress.
    fn of_policies(&mut self, namespace: &Namespace) -> Vec<Door<'w>> {
        let policies = self.policies;
        let isolating = policies.of_namespace(&namespace.name).iter();
        let isolating = isolating.filter_map(|policy| Some((&policy.subject, policy.ingress.as_ref()?)));
        let door = |(pods, rules): (&'w Selector, &'w Vec<Rule>)| {
            let named = rules.iter().flat_map(|rule| &rule.peers).filter_map(named);
            Door { pods, admits: self.admits(named), is_wide: rules.iter().any(is_wide) }
        };
        let mut doors: Vec<Door<'_>> = isolating.map(door).collect();
        let invalid = self.invalid(namespace);
        doors.extend(invalid.map(|it| Door { pods: &it.subject, admits: Admits::Nobody, is_wide: false }));
        doors
    }

    /// The policies of a tier that accept in ingress, and select pods of a namespace.
    fn of_tier(&mut self, tier: PolicyTier, namespace: &Namespace) -> Vec<Door<'w>> {
        let world = self.world;
        let selecting = world.cluster_network_policies.values().filter(|policy| policy.tier == tier);
        let selecting = selecting.filter(|policy| policy.subject.namespaces.matches(&namespace.labels));
        let door = |policy: &'w ClusterNetworkPolicy| {
            let accepting = policy.ingress.iter().filter(|rule| accepts(rule));
            let named = accepting.flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
                ClusterPeer::Pods(pods) => Some(&pods.namespaces),
                ClusterPeer::Networks(_) | ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) | ClusterPeer::Unknown => {
                    None
                }
            });
            Door { pods: &policy.subject.pods, admits: self.admits(named), is_wide: false }
        };
        selecting.map(door).collect()
    }

    fn admits(&mut self, selectors: impl Iterator<Item = &'w Selector>) -> Admits {
        let Self { namespaces, tenants, admitted, .. } = self;
        selectors.fold(Admits::Nobody, |admits, selector| {
            let matched = || namespaces.matched(selector).0.into_iter().map(|index| tenants[index]);
            admits.and(*admitted.entry(selector).or_insert_with(|| matched().fold(Admits::Nobody, Admits::and)))
        })
    }
}

/// The namespaces that a peer names, where it does.
fn named(peer: &Peer) -> Option<&Selector> {
    match peer {
        Peer::Pods { namespaces: NamespaceScope::Selected(selector), .. } if peer.names_namespaces() => Some(selector),
        Peer::Pods { .. } | Peer::Block(_) => None,
    }
}

fn is_wide(rule: &Rule) -> bool {
    rule.peers.is_empty() || rule.peers.iter().any(|peer| matches!(peer, Peer::Block(_)))
}

/// A rule with an unknown peer accepts nobody.
fn accepts(rule: &ClusterRule) -> bool {
    rule.action == Action::Accept && !rule.has_unknown_peer()
}
