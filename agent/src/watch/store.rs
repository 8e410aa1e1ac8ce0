//! Every object as a value of the model, converted once when it comes, and the world that they make.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;
use policy::model::{Config, InvalidPolicy, Selector, TenantSource, World};

use super::entry::Entry;
use super::live::{Key, Object};
use super::pods;
use super::shares::{self, Owners};
use super::{Rejected, Resource};
use crate::ingest::Live;

/// Objects may exceed their share by so much before somebody counts.
const SLACK: usize = 4 << 20;
/// Refused objects of a kind and namespace that are told of one by one.
const TOLD: usize = 20;
/// Policies over their share that a namespace has in a world: it is closed as a whole where they select more than this
/// many groups of pods.
const GROUPS: usize = 16;

/// The objects of all resources.
#[derive(Debug)]
pub(super) struct Store {
    shelves: [Shelf; Resource::ALL.len()],
    config: Config,
    owners: Owners,
}

/// The objects of one resource. A list that is being taken does not show before it is complete.
#[derive(Debug, Default)]
struct Shelf {
    entries: BTreeMap<Key, Entry>,
    listing: BTreeMap<Key, Entry>,
    /// Bytes that came since somebody counted.
    grown: usize,
    /// Something has changed since then.
    changed: bool,
}

impl Store {
    pub fn new(config: &Config) -> Self {
        Self { shelves: Default::default(), config: config.clone(), owners: Owners::default() }
    }

    /// Follows an event. True where something that shows has changed.
    pub fn take(&mut self, resource: Resource, event: Event<Object>) -> bool {
        match event {
            Event::Init => {
                self.shelf(resource).listing.clear();
                false
            }
            Event::InitApply(object) => {
                let (key, entry) = self.convert(resource, object);
                let shelf = self.shelf(resource);
                shelf.grown += entry.size;
                shelf.listing.insert(key, entry);
                if shelf.grown > SLACK {
                    self.settle_one(resource, true);
                }
                false
            }
            Event::InitDone => {
                let shelf = self.shelf(resource);
                let listing = std::mem::take(&mut shelf.listing);
                let changed = shelf.entries != listing;
                shelf.entries = listing;
                shelf.changed |= changed;
                changed
            }
            Event::Apply(object) => {
                let (key, entry) = self.convert(resource, object);
                let shelf = self.shelf(resource);
                let changed = shelf.entries.get(&key) != Some(&entry);
                shelf.grown += entry.size;
                shelf.changed |= changed;
                shelf.entries.insert(key, entry);
                if shelf.grown > SLACK {
                    self.settle_one(resource, false);
                }
                changed
            }
            Event::Delete(object) => {
                let shelf = self.shelf(resource);
                shelf.changed = true;
                shelf.entries.remove(&object.key).is_some()
            }
        }
    }

    /// Cuts what is over somebody's share, by the tenants of now.
    pub fn settle(&mut self) {
        let marks = [Resource::Namespaces, Resource::Tenants];
        if marks.iter().any(|resource| self.shelves[*resource as usize].changed) {
            let mut world = World::default();
            let entries = marks.iter().flat_map(|resource| self.shelves[*resource as usize].entries.values());
            entries.filter_map(|entry| entry.live.clone()).for_each(|live| live.put_into(&mut world));
            let owners = Owners::of(&world, &self.config);
            if owners != self.owners {
                self.owners = owners;
                self.shelves.iter_mut().for_each(|shelf| shelf.changed = true);
            }
        }
        for resource in Resource::ALL {
            if std::mem::take(&mut self.shelf(resource).changed) {
                self.settle_one(resource, false);
            }
        }
    }

    fn settle_one(&mut self, resource: Resource, listing: bool) {
        let Self { shelves, owners, .. } = self;
        let shelf = &mut shelves[resource as usize];
        shelf.grown = 0;
        let Some(share) = resource.share() else { return };
        let entries = if listing { &mut shelf.listing } else { &mut shelf.entries };
        let over = shares::over(entries.iter().map(|(key, entry)| (key, entry.size)), owners, share);
        let over: BTreeSet<Key> = over.into_iter().cloned().collect();
        for (key, entry) in entries.iter_mut() {
            if over.contains(key) {
                entry.cut(key);
            } else {
                entry.wanted = entry.is_cut;
            }
        }
    }

    /// Whose the namespaces are, as of the last time that somebody settled.
    pub const fn owners(&self) -> &Owners {
        &self.owners
    }

    /// An object that was cut and has room now: it is to be read again.
    pub fn wanted(&self) -> Option<(Resource, Key)> {
        Resource::ALL.into_iter().find_map(|resource| {
            let mut entries = self.shelves[resource as usize].entries.iter();
            entries.find(|(_, entry)| entry.wanted).map(|(key, _)| (resource, key.clone()))
        })
    }

    /// The world as the events have it.
    pub fn world(&self) -> World {
        let mut world = World::default();
        for live in self.entries().filter(|entry| !entry.is_cut).filter_map(|entry| entry.live.clone()) {
            live.put_into(&mut world);
        }
        let pods = &self.shelves[Resource::Pods as usize].entries;
        pods::settle(&mut world, |key| pods.get(key)?.claim.as_deref());
        for policy in self.cut_policies() {
            Live::InvalidPolicy(policy).put_into(&mut world);
        }
        world
    }

    /// What stands in for policies over their share: one for all that select the same pods.
    fn cut_policies(&self) -> Vec<InvalidPolicy> {
        let mut groups: BTreeMap<&str, BTreeMap<(&Selector, bool, bool), &InvalidPolicy>> = BTreeMap::new();
        for entry in self.shelves[Resource::NetworkPolicies as usize].entries.values().filter(|entry| entry.is_cut) {
            if let Some(Live::InvalidPolicy(policy)) = &entry.live {
                let isolates = (&policy.subject, policy.isolates_ingress, policy.isolates_egress);
                groups.entry(&policy.namespace).or_default().entry(isolates).or_insert(policy);
            }
        }
        let policies = groups.into_values().flat_map(|of_namespace| {
            let closed = of_namespace.len() > GROUPS;
            let kept = if closed { 1 } else { GROUPS };
            of_namespace.into_values().take(kept).map(move |policy| {
                let whole = InvalidPolicy {
                    subject: Selector::default(),
                    isolates_ingress: true,
                    isolates_egress: true,
                    ..policy.clone()
                };
                if closed { whole } else { policy.clone() }
            })
        });
        policies.collect()
    }

    /// What is not taken as it stands. Of each kind and namespace some objects are named, the others counted.
    pub fn rejected(&self) -> Vec<Rejected> {
        let mut told = Vec::new();
        for resource in Resource::ALL {
            let refused = self.shelves[resource as usize].entries.iter().filter(|(_, entry)| entry.is_refused());
            let mut by_namespace: BTreeMap<&str, Vec<(&Key, &Entry)>> = BTreeMap::new();
            for (key, entry) in refused {
                by_namespace.entry(&key.namespace).or_default().push((key, entry));
            }
            for (namespace, refused) in by_namespace {
                told.extend(self.tell(resource, namespace, &refused));
            }
        }
        told
    }

    fn tell(&self, resource: Resource, namespace: &str, refused: &[(&Key, &Entry)]) -> Vec<Rejected> {
        let (cut, faulty): (Vec<_>, Vec<_>) = refused.iter().partition(|(_, entry)| entry.is_cut);
        let mut told: Vec<Rejected> =
            faulty.iter().take(TOLD).flat_map(|(key, entry)| entry.rejected(resource, key)).collect();
        if let Some((last, more)) = told.last_mut().zip(faulty.len().checked_sub(TOLD)).filter(|(_, more)| *more > 0) {
            last.others = more;
        }
        told.extend(cut.first().zip(resource.share()).map(|((key, entry), share)| {
            let size = cut.iter().map(|(_, entry)| entry.size).sum();
            let tenant = matches!(self.owners.of_namespace(namespace), shares::Owner::Tenant(_));
            entry.over_share(resource, key, &shares::Over { objects: cut.len(), size, share, tenant })
        }));
        told
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

    fn convert(&self, resource: Resource, object: Object) -> (Key, Entry) {
        Entry::of(resource, object, |annotation| {
            self.config
                .sources
                .iter()
                .any(|source| matches!(source, TenantSource::NamespaceAnnotation(key) if key.as_str() == annotation))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: &Value) -> Object {
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = Key { namespace: text("namespace"), name: text("name") };
        Object { key, uid: text("uid"), text: value.to_string().into_bytes() }
    }

    fn pod(name: &str, phase: &str, label: &str) -> Object {
        object(&labelled(name, phase, label))
    }

    fn labelled(name: &str, phase: &str, label: &str) -> Value {
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
        let mut same = labelled("a", "Running", "1");
        same["metadata"]["resourceVersion"] = json!("7");
        assert!(!take(Event::Apply(object(&same))));
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
        assert!(store.take(Resource::NetworkPolicies, Event::Apply(object(&policy))));
        assert_eq!(store.world().invalid_policies.len(), 1);
        let rejected = store.rejected();
        let said: Vec<_> =
            rejected.iter().map(|it| (it.object.to_string(), it.uid.as_str(), it.field.as_str())).collect();
        let about = |field| ("NetworkPolicy x/p".to_owned(), "u", field);
        // A peer of which nothing is known is an empty one, too.
        assert_eq!(said, [about("spec.ingress[0].from[0].planets"), about("spec.ingress[0].from[0]")]);
    }

    /// A policy of so many ipBlocks, each of about 37 bytes.
    fn blocks(namespace: &str, name: &str, blocks: usize, subject: &Value) -> Object {
        let from: Vec<_> = (0..blocks)
            .map(|n| json!({"ipBlock": {"cidr": format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)}}))
            .collect();
        object(&json!({
            "metadata": {"name": name, "namespace": namespace, "uid": name},
            "spec": {"podSelector": subject, "policyTypes": ["Ingress"], "ingress": [{"from": from}]},
        }))
    }

    fn names(policies: impl Iterator<Item = (String, String)>) -> Vec<String> {
        policies.map(|(namespace, name)| format!("{namespace}/{name}")).collect()
    }

    #[test]
    fn policies_over_their_share_isolate_and_come_back_when_there_is_room() {
        let mut store = Store::new(&Config::default());
        let everything = json!({});
        store.take(Resource::NetworkPolicies, Event::Apply(blocks("x", "small", 10, &everything)));
        for name in ["a", "b", "c", "d", "e"] {
            let subject = json!({"matchLabels": {"app": name}});
            store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", name, 25_000, &subject)));
        }
        store.settle();
        let world = store.world();
        assert_eq!(names(world.network_policies.into_keys()), ["evil/a", "evil/b", "evil/c", "evil/d", "x/small"]);
        assert_eq!(names(world.invalid_policies.keys().cloned()), ["evil/e"]);
        let invalid = world.invalid_policies.values().next().unwrap();
        assert!(
            invalid.over_share && invalid.isolates_ingress && !invalid.isolates_egress && !invalid.subject.is_empty()
        );
        let [rejected] = &store.rejected()[..] else { panic!("{:?}", store.rejected()) };
        assert_eq!((rejected.object.to_string().as_str(), rejected.uid.as_str()), ("NetworkPolicy evil/e", "e"));
        assert!(rejected.problem.contains("4096 KiB"), "{}", rejected.problem);
        assert_eq!(store.wanted(), None);

        let gone = blocks("evil", "a", 0, &everything);
        assert!(store.take(Resource::NetworkPolicies, Event::Delete(gone)));
        store.settle();
        let (resource, key) = store.wanted().unwrap();
        assert_eq!((resource, key.to_string().as_str()), (Resource::NetworkPolicies, "evil/e"));
        store.take(resource, Event::Apply(blocks("evil", "e", 25_000, &everything)));
        store.settle();
        assert_eq!(store.wanted(), None);
        assert!(store.world().invalid_policies.is_empty() && store.rejected().is_empty());
    }

    #[test]
    fn a_policy_that_is_too_large_is_never_read_whole_and_isolates_what_it_selects() {
        let mut store = Store::new(&Config::default());
        let subject = json!({"matchLabels": {"app": "a"}});
        store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", "a", 40_000, &subject)));
        let many: Vec<_> = (0..1000).map(|n| format!("v{n}")).collect();
        let subject = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": many}]});
        store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", "b", 40_000, &subject)));
        store.settle();
        let world = store.world();
        let [a, b] = &world.invalid_policies.values().collect::<Vec<_>>()[..] else { panic!("{world:?}") };
        assert!(!a.subject.is_empty() && a.isolates_ingress && !a.isolates_egress);
        assert!(b.subject.is_empty() && b.isolates_ingress && b.isolates_egress, "what selects too much selects all");
    }

    #[test]
    fn many_small_policies_are_one_in_the_world_and_told_of_once() {
        let mut store = Store::new(&Config::default());
        for number in 0..20_000 {
            let subject = json!({"matchLabels": {"app": format!("a{}", number % 100)}});
            let policy = blocks("evil", &format!("{number:05}"), 1, &subject);
            store.take(Resource::NetworkPolicies, Event::Apply(policy));
        }
        store.take(Resource::NetworkPolicies, Event::Apply(blocks("x", "p", 1, &json!({}))));
        store.settle();
        let world = store.world();
        let kept = world.network_policies.keys().filter(|(namespace, _)| namespace == "evil").count();
        assert!((4000..6000).contains(&kept), "{kept}");
        let [invalid] = &world.invalid_policies.values().collect::<Vec<_>>()[..] else { panic!("one is enough") };
        assert!(invalid.subject.is_empty() && invalid.isolates_egress);
        let [rejected] = &store.rejected()[..] else { panic!("one is enough") };
        assert_eq!(rejected.others, 20_000 - kept - 1);
        assert!(world.network_policies.contains_key(&("x".to_owned(), "p".to_owned())));
    }

    #[test]
    fn pods_with_a_mebibyte_of_labels_are_unknown_and_annotations_cost_nothing() {
        let mut store = Store::new(&Config::default());
        let with = |name: &str, field: &str, bytes: usize| {
            let mut pod = labelled(name, "Running", "1");
            let many: serde_json::Map<_, _> =
                (0..bytes / 64).map(|n| (format!("k{n}"), json!("v".repeat(57)))).collect();
            pod["metadata"][field] = many.into();
            object(&pod)
        };
        store.take(Resource::Pods, Event::Apply(with("annotated", "annotations", 200 << 10)));
        store.take(Resource::Pods, Event::Apply(with("labelled", "labels", 1 << 20)));
        for number in 0..200 {
            store.take(Resource::Pods, Event::Apply(with(&format!("many-{number:03}"), "labels", 100 << 10)));
        }
        store.settle();
        let pods = pods(&store);
        assert!(pods.contains(&"annotated".to_owned()) && !pods.contains(&"labelled".to_owned()));
        assert!((100..120).contains(&pods.len()), "16 MiB of them: {}", pods.len());
    }

    #[test]
    fn an_object_of_mistakes_tells_five_and_a_namespace_of_such_objects_twenty() {
        let mut store = Store::new(&Config::default());
        for number in 0..100 {
            let from: Vec<_> = (0..1000).map(|_| json!({"ipBlock": {"cidr": "x".repeat(1000)}})).collect();
            let policy = json!({
                "metadata": {"name": format!("{number:03}"), "namespace": "evil", "uid": "u"},
                "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": from}]},
            });
            if number == 0 {
                let (_, entry) = store.convert(Resource::NetworkPolicies, object(&policy));
                assert!(entry.size < 1_100_000, "the sentences are short: {}", entry.size);
            }
            let small = json!({
                "metadata": {"name": format!("{number:03}"), "namespace": "evil", "uid": "u"},
                "spec": {"podSelector": {}, "ingress": [{"from": from[..7]}]},
            });
            store.take(Resource::NetworkPolicies, Event::Apply(object(&small)));
        }
        store.settle();
        let rejected = store.rejected();
        assert_eq!(rejected.len(), TOLD * 5);
        assert_eq!(rejected.iter().map(|it| it.others).sum::<usize>(), 100 - TOLD);
        assert!(rejected.iter().any(|it| it.problem.contains("(and 2 more problems)")), "{}", rejected[4].problem);
        assert!(rejected.iter().all(|it| it.problem.len() < 400));
    }
}
