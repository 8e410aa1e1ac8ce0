//! Addresses that several pods claim: the API goes on showing a pod's address after its node has given it to another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use policy::model::{Pod, PodKey, World};
use serde_json::Value;

/// How good a pod's claim to its address is: a pod that is not being deleted before one that is, a running one before
/// others, then the younger.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    stays: bool,
    running: bool,
    /// RFC 3339 in UTC, so that text is ordered as time is.
    created: String,
    uid: String,
}

impl Claim {
    /// Of a Pod as the API has it.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        Self {
            stays: metadata["deletionTimestamp"].is_null(),
            running: object["status"]["phase"] == "Running",
            created: text("creationTimestamp"),
            uid: text("uid"),
        }
    }
}

/// Leaves each address to the pod with the best claim. hostNetwork pods share their node's and claim nothing.
pub(super) fn settle<'a>(world: &mut World, claim: impl Fn(&PodKey) -> Option<&'a Claim>) {
    let mut owners: HashMap<IpAddr, &PodKey> = HashMap::with_capacity(world.pods.len());
    let mut lost: Vec<(PodKey, IpAddr)> = Vec::new();
    for (key, pod) in world.pods.iter().filter(|(_, pod)| !pod.host_network) {
        for &address in &pod.addresses {
            match owners.entry(address) {
                Entry::Vacant(entry) => drop(entry.insert(key)),
                Entry::Occupied(mut entry) => {
                    let loser = if claim(key) > claim(entry.get()) { entry.insert(key) } else { key };
                    lost.push((loser.clone(), address));
                }
            }
        }
    }
    for (key, address) in lost {
        if let Some(Pod { addresses, .. }) = world.pods.get_mut(&key) {
            addresses.retain(|own| *own != address);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHARED: &str = "10.244.0.7";

    /// The pods that have the shared address, out of some in the order of their names.
    fn owners(objects: &[Value]) -> Vec<usize> {
        let mut world = World::default();
        let mut claims = HashMap::new();
        for (number, object) in objects.iter().enumerate() {
            let pod = Pod {
                name: number.to_string(),
                addresses: vec![SHARED.parse().unwrap(), IpAddr::from([10, 244, 1, u8::try_from(number).unwrap()])],
                ..Pod::default()
            };
            claims.insert(pod.key(), Claim::of(object));
            world.pods.insert(pod.key(), pod);
        }
        settle(&mut world, |key| claims.get(key));
        assert!(world.pods.values().all(|pod| !pod.addresses.is_empty()), "an address of its own stays");
        world.pods.values().filter(|pod| pod.addresses.len() == 2).map(|pod| pod.name.parse().unwrap()).collect()
    }

    fn pod(phase: &str, created: u8, deleted: bool) -> Value {
        let time = |second: u8| format!("2026-01-01T00:00:{second:02}Z");
        let deleted = deleted.then(|| time(59));
        json!({"metadata": {"creationTimestamp": time(created), "deletionTimestamp": deleted}, "status": {"phase": phase}})
    }

    #[test]
    fn an_address_belongs_to_the_pod_with_the_best_claim() {
        assert_eq!(owners(&[pod("Running", 1, true), pod("Pending", 0, false)]), [1], "one that stays");
        assert_eq!(owners(&[pod("Running", 1, false), pod("Pending", 2, false)]), [0], "a running one");
        assert_eq!(owners(&[pod("Running", 1, false), pod("Running", 3, false), pod("Running", 2, false)]), [1]);
    }
}
