//! The local endpoints: which pod is behind each, and which sets judge it.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::abi::Direction;

use super::hash::HashMap;
use super::ids::{ContentHash, Digest};
use super::meter::{Meter, Payer, Stop};
use super::policies::Policies;
use super::set::{PolicySet, Selecting, named_numbers, rules_of};
use super::{Binding, Input, cluster};
use crate::model::tenants::{Membership, Tenancy};
use crate::model::{Pod, Port, Protocol};

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
    policies: &Policies<'a>,
    hash: ContentHash,
    meter: &mut Meter<'_>,
) -> Result<(Vec<Subject<'a>>, Sets), Stop> {
    let mut found = Found { sets: Sets::new(), selected: HashMap::default(), hash, meter };
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

/// The sets that were found so far.
struct Found<'m, 'a> {
    sets: Sets,
    selected: HashMap<Selection, Digest>,
    hash: ContentHash,
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
        let content = self.hash.digest(&set);
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
