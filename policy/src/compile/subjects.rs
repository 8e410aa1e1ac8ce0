//! The local endpoints: which pod is behind each, and which sets judge it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::abi::Direction;

use super::ids::{Digest, digest};
use super::set::{PolicySet, isolating, named_numbers, rules_of};
use super::{Binding, Input};
use crate::model::tenants::{Membership, Tenancy};
use crate::model::{NetworkPolicy, Pod, Port, Protocol};

/// Policy sets by the digest of their rules.
pub(super) type Sets = BTreeMap<Digest, Arc<PolicySet>>;

/// A local endpoint.
pub(super) struct Subject<'a> {
    pub(super) binding: &'a Binding,
    /// `None` where its pod is not known yet.
    pub(super) pod: Option<KnownSubject>,
}

pub(super) struct KnownSubject {
    pub(super) membership: Membership,
    /// By direction; `None` where nothing isolates the pod.
    pub(super) sets: [Option<Digest>; 2],
}

/// All that a set depends on: shared by pods that the same policies select, with the same numbers behind the
/// port names of their ingress rules.
type Selection = (Direction, Vec<usize>, Vec<Vec<u16>>);

/// Finds the subjects of policy, and the sets that judge them.
pub(super) fn subjects<'a>(input: &Input<'a>, tenancy: &Tenancy<'_>) -> (Vec<Subject<'a>>, Sets) {
    let policies = by_namespace(input);
    let mut sets = Sets::new();
    let mut selected: HashMap<Selection, Digest> = HashMap::new();
    let subjects = input.node.endpoints.iter().map(|binding| {
        let pod = binding.pod.as_ref().and_then(|key| input.world.pods.get(key)).filter(|pod| !pod.host_network);
        let known = pod.and_then(|pod| {
            let membership = tenancy.membership(pod)?;
            let own = policies.get(pod.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            let selecting: Vec<&NetworkPolicy> =
                own.iter().copied().filter(|policy| policy.subject.matches(&pod.labels)).collect();
            let sets = Direction::ALL.map(|direction| judged_by(direction, &selecting, pod, &mut selected, &mut sets));
            Some(KnownSubject { membership, sets })
        });
        Subject { binding, pod: known }
    });
    (subjects.collect(), sets)
}

fn by_namespace<'a>(input: &Input<'a>) -> HashMap<&'a str, Vec<&'a NetworkPolicy>> {
    let mut policies: HashMap<&str, Vec<&NetworkPolicy>> = HashMap::new();
    for policy in input.world.network_policies.values() {
        policies.entry(&policy.namespace).or_default().push(policy);
    }
    policies
}

fn judged_by(
    direction: Direction,
    selecting: &[&NetworkPolicy],
    pod: &Pod,
    selected: &mut HashMap<Selection, Digest>,
    sets: &mut Sets,
) -> Option<Digest> {
    let policies: Vec<&NetworkPolicy> =
        selecting.iter().copied().filter(|policy| isolating(policy, direction).is_some()).collect();
    if policies.is_empty() {
        return None;
    }
    let addresses = policies.iter().map(|policy| std::ptr::from_ref(*policy).addr()).collect();
    let selection = (direction, addresses, judged_numbers(direction, &policies, pod));
    let content = selected.entry(selection).or_insert_with(|| {
        let set = PolicySet::of(direction, &policies, pod);
        let content = digest(&set);
        sets.insert(content, Arc::new(set));
        content
    });
    Some(*content)
}

/// The numbers that the judged pod has for each port name of its ingress rules.
fn judged_numbers(direction: Direction, policies: &[&NetworkPolicy], pod: &Pod) -> Vec<Vec<u16>> {
    if direction == Direction::Egress {
        return Vec::new();
    }
    let ports = policies.iter().flat_map(|policy| rules_of(policy, direction)).flat_map(|rule| &rule.ports);
    ports.filter_map(named).map(|(protocol, name)| named_numbers(pod, protocol, name)).collect()
}

fn named(port: &Port) -> Option<(Protocol, &str)> {
    match port {
        Port::Named(protocol, name) => Some((*protocol, name)),
        Port::All(_) | Port::Range(..) => None,
    }
}
