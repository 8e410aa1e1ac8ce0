//! The local endpoints: which pod is behind each, and which sets judge it.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::abi::Direction;

use super::hash::HashMap;
use super::ids::{Digest, digest};
use super::meter::{Meter, Payer, Stop};
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
pub(super) fn subjects<'a>(
    input: &Input<'a>,
    tenancy: &Tenancy<'_>,
    meter: &mut Meter<'_>,
) -> Result<(Vec<Subject<'a>>, Sets), Stop> {
    let policies = Policies::of(input.world);
    let mut found = Found { sets: Sets::new(), selected: HashMap::default(), meter };
    let mut subjects = Vec::with_capacity(input.node.endpoints.len());
    for binding in &input.node.endpoints {
        let pod = binding.pod.as_ref().and_then(|key| input.world.pods.get(key)).filter(|pod| !pod.host_network);
        let known = pod.and_then(|pod| {
            let membership = tenancy.membership(pod)?;
            Some((pod, membership, input.world.namespaces.get(&pod.namespace)?))
        });
        let Some((pod, membership, namespace)) = known else {
            subjects.push(Subject { binding, pod: None });
            continue;
        };
        let mut sets = [None; 2];
        for (direction, set) in Direction::ALL.into_iter().zip(&mut sets) {
            let selecting = policies.selecting(direction, namespace, pod, found.meter.is_closed(&namespace.name));
            *set = found.judged_by(direction, &selecting, pod)?;
        }
        subjects.push(Subject { binding, pod: Some(KnownSubject { pod, membership, sets }) });
    }
    Ok((subjects, found.sets))
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
        let mut by_namespace: HashMap<&str, Vec<&NetworkPolicy>> = HashMap::default();
        for policy in world.network_policies.values() {
            by_namespace.entry(&policy.namespace).or_default().push(policy);
        }
        let mut invalid: HashMap<&str, Vec<&InvalidPolicy>> = HashMap::default();
        for policy in world.invalid_policies.values() {
            invalid.entry(&policy.namespace).or_default().push(policy);
        }
        Self { by_namespace, invalid, cluster: cluster::in_order(world) }
    }

    /// Being isolated keeps the Baseline tier from being asked, in that direction alone.
    /// `closed`: the rules of the namespace's policies are left out.
    fn selecting(&self, direction: Direction, namespace: &'a Namespace, pod: &Pod, closed: bool) -> Selecting<'a> {
        let own = self.by_namespace.get(pod.namespace.as_str()).map_or(&[][..], Vec::as_slice).iter().copied();
        let mut own = own
            .filter(|policy| isolating(policy, direction).is_some() && policy.subject.matches(&pod.labels))
            .peekable();
        let invalid = self.invalid.get(pod.namespace.as_str()).map_or(&[][..], Vec::as_slice).iter().copied();
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

/// The sets that were found so far.
struct Found<'m, 'a> {
    sets: Sets,
    selected: HashMap<Selection, Digest>,
    meter: &'m mut Meter<'a>,
}

impl Found<'_, '_> {
    fn judged_by(
        &mut self,
        direction: Direction,
        selecting: &Selecting<'_>,
        pod: &Pod,
    ) -> Result<Option<Digest>, Stop> {
        if !selecting.isolates() && selecting.cluster.is_empty() {
            return Ok(None);
        }
        let selection = selection(direction, selecting, pod);
        if let Some(content) = self.selected.get(&selection) {
            return Ok(Some(*content));
        }
        let rules = selecting.isolating.iter().flat_map(|policy| rules_of(policy, direction));
        let size = rules.map(|rule| 1 + rule.peers.len() + rule.ports.len()).sum();
        self.meter.spend(Payer::Namespace(&pod.namespace), size)?;
        let set = PolicySet::of(direction, selecting, pod);
        let content = digest(&set);
        self.sets.insert(content, Arc::new(set));
        self.selected.insert(selection, content);
        Ok(Some(content))
    }
}

fn selection(direction: Direction, selecting: &Selecting<'_>, pod: &Pod) -> Selection {
    let isolating = selecting.isolating.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let invalid = selecting.invalid.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let over = selecting.over.iter().map(|namespace| namespace.as_ptr().addr());
    let cluster = selecting.cluster.iter().map(|policy| std::ptr::from_ref(*policy).addr());
    let policies = isolating.chain(invalid).chain(over).chain(cluster).collect();
    (direction, policies, judged_numbers(direction, selecting, pod))
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
