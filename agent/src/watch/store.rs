//! Every object as a value of the model, converted once when it comes, and the world that they make.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;
use policy::model::{Config, Labels, PodKey, TenantSource, World};
use serde_json::Value;

use super::pods::{self, Claim};
use super::{Rejected, Resource};
use crate::ingest::{self, Kind, Live, ObjectId};

/// Namespace (empty for what has none) and name.
type Key = PodKey;

/// Our own annotations are kept whatever the configuration says.
const OWN: &str = "bulkhead.dev/";

/// The objects of all resources.
#[derive(Debug)]
pub(super) struct Store {
    shelves: [Shelf; Resource::ALL.len()],
    /// Keys of other annotations that name tenants.
    annotations: Vec<String>,
}

/// The objects of one resource. A list that is being taken does not show before it is complete.
#[derive(Debug, Default)]
struct Shelf {
    entries: BTreeMap<Key, Entry>,
    listing: BTreeMap<Key, Entry>,
}

/// What is known of one object.
#[derive(Debug, PartialEq)]
struct Entry {
    /// `None`: the world goes without it.
    live: Option<Live>,
    rejected: Vec<Rejected>,
    /// A pod's, to its addresses.
    claim: Option<Box<Claim>>,
}

impl Store {
    pub fn new(config: &Config) -> Self {
        let named = config.sources.iter().filter_map(|source| match source {
            TenantSource::NamespaceAnnotation(key) => Some(key.clone()),
            TenantSource::Capsule | TenantSource::NamespaceLabel(_) | TenantSource::PodLabel(_) => None,
        });
        Self { shelves: Default::default(), annotations: named.collect() }
    }

    /// Follows an event. True where something that shows has changed.
    pub fn take(&mut self, resource: Resource, event: Event<Value>) -> bool {
        match event {
            Event::Init => {
                self.shelf(resource).listing.clear();
                false
            }
            Event::InitApply(object) => {
                let (key, entry) = (key(&object), self.convert(resource, object));
                self.shelf(resource).listing.insert(key, entry);
                false
            }
            Event::InitDone => {
                let shelf = self.shelf(resource);
                let listing = std::mem::take(&mut shelf.listing);
                let changed = shelf.entries != listing;
                shelf.entries = listing;
                changed
            }
            Event::Apply(object) => {
                let (key, entry) = (key(&object), self.convert(resource, object));
                let entries = &mut self.shelf(resource).entries;
                let changed = entries.get(&key) != Some(&entry);
                entries.insert(key, entry);
                changed
            }
            Event::Delete(object) => self.shelf(resource).entries.remove(&key(&object)).is_some(),
        }
    }

    /// The world as the events have it.
    pub fn world(&self) -> World {
        let mut world = World::default();
        for live in self.entries().filter_map(|entry| entry.live.clone()) {
            live.put_into(&mut world);
        }
        let pods = &self.shelves[Resource::Pods as usize].entries;
        pods::settle(&mut world, |key| pods.get(key)?.claim.as_deref());
        world
    }

    /// What is not taken as it stands.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.entries().flat_map(|entry| entry.rejected.iter().cloned()).collect()
    }

    /// The resources that have objects.
    pub fn filled(&self) -> impl Iterator<Item = Resource> {
        Resource::ALL.into_iter().filter(|resource| !self.shelves[*resource as usize].entries.is_empty())
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.shelves.iter().flat_map(|shelf| shelf.entries.values())
    }

    const fn shelf(&mut self, resource: Resource) -> &mut Shelf {
        &mut self.shelves[resource as usize]
    }

    fn convert(&self, resource: Resource, object: Value) -> Entry {
        let kind = resource.kind();
        let claim = (resource == Resource::Pods).then(|| Box::new(Claim::of(&object)));
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let Key { namespace, name } = key(&object);
        let (live, errors) = match ingest::convert_live(kind, object) {
            Ok(live) => (live, Vec::new()),
            Err(refused) => (refused.stand_in, refused.errors),
        };
        let rejected = errors.into_iter().map(|error| Rejected {
            object: ObjectId { kind, namespace: namespace.clone(), name: name.clone() },
            uid: uid.clone(),
            field: error.field.unwrap_or_default(),
            problem: error.problem,
            effect: effect(kind),
        });
        Entry { rejected: rejected.collect(), live: live.map(|live| self.prune(live)), claim }
    }

    /// Leaves out the annotations that nobody reads.
    fn prune(&self, mut live: Live) -> Live {
        let annotations: Option<&mut Labels> = match &mut live {
            Live::Namespace(namespace) => Some(&mut namespace.annotations),
            Live::Tenant(tenant) => Some(&mut tenant.annotations),
            Live::Pod(pod) => Some(&mut pod.annotations),
            _ => None,
        };
        if let Some(annotations) = annotations {
            annotations.retain(|key, _| key.starts_with(OWN) || self.annotations.iter().any(|kept| kept == key));
        }
        live
    }
}

fn key(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Key { namespace: text("namespace"), name: text("name") }
}

const fn effect(kind: Kind) -> &'static str {
    match kind {
        Kind::NetworkPolicy => "until then it isolates what it selects and allows nothing",
        Kind::ClusterNetworkPolicy => "until then its rules that are not understood accept nothing and deny everything",
        Kind::Node => "until then what is not understood of it is left out",
        _ => "until then it is as if it were not there",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, label: &str) -> Value {
        json!({
            "metadata": {
                "name": name, "namespace": "x", "labels": {"app": label},
                "annotations": {"bulkhead.dev/a": "kept", "other": "left out"},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
            "status": {"phase": phase, "podIPs": [{"ip": "10.244.0.5"}]},
        })
    }

    fn pods(store: &Store) -> Vec<String> {
        store.world().pods.into_keys().map(|key| key.name).collect()
    }

    #[test]
    fn a_list_shows_when_it_is_complete() {
        let mut store = Store::new(&Config::default());
        let mut take = |event| store.take(Resource::Pods, event);
        assert!(!take(Event::Init) && !take(Event::InitApply(pod("a", "Running", "1"))) && take(Event::InitDone));
        assert!(!take(Event::Init) && !take(Event::InitApply(pod("b", "Running", "1"))));
        assert_eq!(pods(&store), ["a"]);
        assert!(store.take(Resource::Pods, Event::InitDone));
        assert_eq!(pods(&store), ["b"]);
    }

    #[test]
    fn only_what_policy_sees_is_a_change() {
        let mut store = Store::new(&Config::default());
        let mut take = |event| store.take(Resource::Pods, event);
        assert!(take(Event::Apply(pod("a", "Running", "1"))));
        let mut same = pod("a", "Running", "1");
        same["metadata"]["resourceVersion"] = json!("7");
        assert!(!take(Event::Apply(same)));
        assert!(take(Event::Apply(pod("a", "Running", "2"))));
        assert!(take(Event::Apply(pod("a", "Succeeded", "2"))), "it has ended");
        assert!(pods(&store).is_empty());
        assert!(store.take(Resource::Pods, Event::Delete(pod("a", "Succeeded", "2"))));
    }

    #[test]
    fn annotations_that_nobody_reads_are_left_out() {
        let mut store = Store::new(&Config::default());
        store.take(Resource::Pods, Event::Apply(pod("a", "Running", "1")));
        let world = store.world();
        let keys: Vec<_> = world.pods.values().flat_map(|pod| pod.annotations.keys()).collect();
        assert_eq!(keys, ["bulkhead.dev/a"]);
    }

    #[test]
    fn a_policy_that_is_not_understood_is_named_and_fails_closed() {
        let mut store = Store::new(&Config::default());
        let policy = json!({
            "metadata": {"name": "p", "namespace": "x", "uid": "u"},
            "spec": {"podSelector": {}, "ingress": [{"from": [{"planets": {}}]}]},
        });
        assert!(store.take(Resource::NetworkPolicies, Event::Apply(policy)));
        assert_eq!(store.world().invalid_policies.len(), 1);
        let rejected = store.rejected();
        let said: Vec<_> =
            rejected.iter().map(|it| (it.object.to_string(), it.uid.as_str(), it.field.as_str())).collect();
        let about = |field| ("NetworkPolicy x/p".to_owned(), "u", field);
        // A peer of which nothing is known is an empty one, too.
        assert_eq!(said, [about("spec.ingress[0].from[0].planets"), about("spec.ingress[0].from[0]")]);
    }
}
