//! The policies of a world, for looking up those of a namespace or a pod.

use std::ops::Range;

use common::abi::Direction;

use super::cluster;
use super::hash::HashMap;
use super::set::{Selecting, isolating};
use crate::model::{ClusterNetworkPolicy, InvalidPolicy, Namespace, NetworkPolicy, Pod, PolicyTier, World};

pub(super) struct Policies<'a> {
    /// By namespace and name.
    own: Vec<&'a NetworkPolicy>,
    /// Indices of `own`, by namespace.
    by_namespace: HashMap<&'a str, Range<usize>>,
    invalid: HashMap<&'a str, Vec<&'a InvalidPolicy>>,
    /// In the order in which they are asked.
    cluster: Vec<&'a ClusterNetworkPolicy>,
}

impl<'a> Policies<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let own: Vec<&NetworkPolicy> = world.network_policies.values().collect();
        let mut end = 0;
        let neighbours = own.chunk_by(|a, b| a.namespace == b.namespace).map(|policies| {
            let first = end;
            end += policies.len();
            (policies[0].namespace.as_str(), first..end)
        });
        let by_namespace = neighbours.collect();
        let mut invalid: HashMap<&str, Vec<&InvalidPolicy>> = HashMap::default();
        for policy in world.invalid_policies.values() {
            invalid.entry(&policy.namespace).or_default().push(policy);
        }
        Self { own, by_namespace, invalid, cluster: cluster::in_order(world) }
    }

    /// Those of a namespace, by name.
    pub(super) fn of_namespace(&self, namespace: &str) -> &[&'a NetworkPolicy] {
        self.by_namespace.get(namespace).map_or(&[], |range| &self.own[range.clone()])
    }

    /// Those of a namespace that are not understood, by name.
    pub(super) fn invalid(&self, namespace: &str) -> &[&'a InvalidPolicy] {
        self.invalid.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// Those that have a say about a pod. Being isolated keeps the Baseline tier from being asked, in that direction
    /// alone. `closed`: the rules of the namespace's policies are left out.
    pub(super) fn selecting(
        &self,
        direction: Direction,
        namespace: &'a Namespace,
        pod: &Pod,
        closed: bool,
    ) -> Selecting<'a> {
        let own = self.of_namespace(&pod.namespace).iter().copied();
        let mut own = own
            .filter(|policy| isolating(policy, direction).is_some() && policy.subject.matches(&pod.labels))
            .peekable();
        let invalid = self.invalid(&pod.namespace).iter().copied();
        let mut invalid =
            invalid.filter(|policy| isolates(policy, direction) && policy.subject.matches(&pod.labels)).peekable();
        let mut selecting = Selecting { isolating: Vec::new(), invalid: Vec::new(), over: None, cluster: Vec::new() };
        if !closed {
            selecting.isolating = own.collect();
            selecting.invalid = invalid.collect();
        } else if own.peek().is_some() || invalid.peek().is_some() {
            selecting.over = Some(&namespace.name);
        }
        let isolates = selecting.isolates();
        let is_asked = |policy: &&ClusterNetworkPolicy| {
            let is_reached = !isolates || policy.tier == PolicyTier::Admin;
            is_reached && !cluster::rules_of(policy, direction).is_empty() && cluster::selects(policy, namespace, pod)
        };
        selecting.cluster = self.cluster.iter().copied().filter(is_asked).collect();
        selecting
    }
}

const fn isolates(policy: &InvalidPolicy, direction: Direction) -> bool {
    match direction {
        Direction::Egress => policy.isolates_egress,
        Direction::Ingress => policy.isolates_ingress,
    }
}
