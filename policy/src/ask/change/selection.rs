//! Selectors that match a pod, and no pod but its replicas.

use std::collections::BTreeSet;

use compact_str::CompactString;

use crate::model::{Labels, Operator, Pod, Requirement, Selector, World};

/// Labels that a controller gives, other ones at each roll-out.
const GENERATED: [&str; 3] = ["pod-template-hash", "controller-revision-hash", "pod-template-generation"];
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// All labels of the pod, and none that another pod of its namespace has beside them.
pub(super) fn exactly(world: &World, pod: &Pod) -> Selector {
    let own = lasting(&pod.labels);
    let mut requirements: Vec<Requirement> = own.iter().map(|(key, value)| is(key, value)).collect();
    let mut foreign: BTreeSet<&str> = BTreeSet::new();
    for other in world.pods.values().filter(|other| other.namespace == pod.namespace) {
        let labels = lasting(&other.labels);
        if own.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            foreign.extend(
                other
                    .labels
                    .keys()
                    .map(CompactString::as_str)
                    .filter(|key| labels.contains_key(*key) && !own.contains_key(*key)),
            );
        }
    }
    let without = foreign.into_iter().map(|key| Requirement { key: key.to_owned(), operator: Operator::DoesNotExist });
    requirements.extend(without);
    Selector { requirements }
}

/// The namespace of that name alone.
pub(super) fn named(namespace: &str) -> Selector {
    Selector { requirements: vec![is(NAME_LABEL, namespace)] }
}

fn lasting(labels: &Labels) -> Labels {
    let lasting = labels.iter().filter(|(key, _)| !GENERATED.contains(&key.as_str()));
    lasting.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In(BTreeSet::from([value.to_owned()])) }
}
