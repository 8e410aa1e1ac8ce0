//! The local endpoints: which pod is behind each, and which sets judge it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::abi::Direction;

use super::ids::{Digest, digest};
use super::set::{PolicySet, Selecting, isolating, named_numbers, rules_of};
use super::{Binding, Input, cluster};
use crate::model::tenants::{Membership, Tenancy};
use crate::model::{
    ClusterNetworkPolicy, InvalidPolicy, Namespace, NetworkPolicy, Pod, PolicyTier, Port, Protocol, World,
};

/// Policy sets by the digest of their rules.
pub(super) type Sets = BTreeMap<Digest, Arc<PolicySet>>;

/// A local endpoint.
pub(super) struct Subject<'a> {
    pub(super) binding: &'a Binding,
    /// `None` where its pod is not known yet.
    pub(super) pod: Option<KnownSubject<'a>>,
}

pub(super) struct KnownSubject<'a> {
    pub(super) pod: &'a Pod,
    pub(super) membership: Membership,
    /// By direction; `None` where no policy has a say.
    pub(super) sets: [Option<Digest>; 2],
}

/// All that a set depends on: shared by pods that the same policies select, with the same numbers behind the
/// port names of their ingress rules.
type Selection = (Direction, Vec<usize>, Vec<Vec<u16>>);

/// Finds the subjects of policy, and the sets that judge them.
pub(super) fn subjects<'a>(input: &Input<'a>, tenancy: &Tenancy<'_>) -> (Vec<Subject<'a>>, Sets) {
    let policies = Policies::of(input.world);
    let mut sets = Sets::new();
    let mut selected: HashMap<Selection, Digest> = HashMap::new();
    let subjects = input.node.endpoints.iter().map(|binding| {
        let pod = binding.pod.as_ref().and_then(|key| input.world.pods.get(key)).filter(|pod| !pod.host_network);
        let known = pod.and_then(|pod| {
            let membership = tenancy.membership(pod)?;
            let namespace = input.world.namespaces.get(&pod.namespace)?;
            let sets = Direction::ALL.map(|direction| {
                let selecting = policies.selecting(direction, namespace, pod);
                judged_by(direction, &selecting, pod, &mut selected, &mut sets)
            });
            Some(KnownSubject { pod, membership, sets })
        });
        Subject { binding, pod: known }
    });
    (subjects.collect(), sets)
}

/// The policies of a world, for looking up those of a pod.
struct Policies<'a> {
    by_namespace: HashMap<&'a str, Vec<&'a NetworkPolicy>>,
    invalid: HashMap<&'a str, Vec<&'a InvalidPolicy>>,
    /// In the order in which they are asked.
    cluster: Vec<&'a ClusterNetworkPolicy>,
}

impl<'a> Policies<'a> {
    fn of(world: &'a World) -> Self {
        let mut by_namespace: HashMap<&str, Vec<&NetworkPolicy>> = HashMap::new();
        for policy in world.network_policies.values() {
            by_namespace.entry(&policy.namespace).or_default().push(policy);
        }
        let mut invalid: HashMap<&str, Vec<&InvalidPolicy>> = HashMap::new();
        for policy in world.invalid_policies.values() {
            invalid.entry(&policy.namespace).or_default().push(policy);
        }
        Self { by_namespace, invalid, cluster: cluster::in_order(world) }
    }

    /// Being isolated keeps the Baseline tier from being asked, in that direction alone.
    fn selecting(&self, direction: Direction, namespace: &Namespace, pod: &Pod) -> Selecting<'a> {
        let own = self.by_namespace.get(pod.namespace.as_str()).map_or(&[][..], Vec::as_slice).iter().copied();
        let isolating: Vec<&NetworkPolicy> = own
            .filter(|policy| isolating(policy, direction).is_some() && policy.subject.matches(&pod.labels))
            .collect();
        let invalid = self.invalid.get(pod.namespace.as_str()).map_or(&[][..], Vec::as_slice).iter().copied();
        let invalid = invalid.filter(|policy| isolates(policy, direction) && policy.subject.matches(&pod.labels));
        let mut selecting = Selecting { isolating, invalid: invalid.collect(), cluster: Vec::new() };
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

fn judged_by(
    direction: Direction,
    selecting: &Selecting<'_>,
    pod: &Pod,
    selected: &mut HashMap<Selection, Digest>,
    sets: &mut Sets,
) -> Option<Digest> {
    if !selecting.isolates() && selecting.cluster.is_empty() {
        return None;
    }
    let isolating = selecting.isolating.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let invalid = selecting.invalid.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let cluster = selecting.cluster.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let selection =
        (direction, isolating.chain(invalid).chain(cluster).collect(), judged_numbers(direction, selecting, pod));
    let content = selected.entry(selection).or_insert_with(|| {
        let set = PolicySet::of(direction, selecting, pod);
        let content = digest(&set);
        sets.insert(content, Arc::new(set));
        content
    });
    Some(*content)
}

/// The numbers that the judged pod has for each port name of its ingress rules.
fn judged_numbers(direction: Direction, selecting: &Selecting<'_>, pod: &Pod) -> Vec<Vec<u16>> {
    if direction == Direction::Egress {
        return Vec::new();
    }
    let own = selecting.isolating.iter().flat_map(|policy| rules_of(policy, direction)).flat_map(|rule| &rule.ports);
    let cluster = selecting.cluster.iter().flat_map(|policy| cluster::rules_of(policy, direction));
    let ports = own.chain(cluster.flat_map(|rule| &rule.ports));
    ports.filter_map(named).map(|(protocol, name)| named_numbers(pod, protocol, name)).collect()
}

fn named(port: &Port) -> Option<(Protocol, &str)> {
    match port {
        Port::Named(protocol, name) => Some((*protocol, name)),
        Port::All(_) | Port::Range(..) => None,
    }
}
