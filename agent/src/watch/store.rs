//! Every object as a value of the model, converted once when it comes, and the world that they make.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;
use policy::model::{Config, Departures, InvalidPolicy, Selector, World};

use super::entry::Entry;
use super::live::{Key, Object};
use super::pods;
use super::reader::{Read, Reader};
use super::shares::{self, Owners, Share};
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
    reader: Reader,
    owners: Owners,
    /// What events took away, also where another event gave it back before a world was made.
    departed: Departures,
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

/// What is left of Services that are cut has the same share again. Beyond it nothing is kept of them: they have addresses
/// as large as all of their text.
fn forget(services: &mut BTreeMap<Key, Entry>, owners: &Owners, share: Share) {
    let left = services.iter().filter(|(_, entry)| entry.is_cut && !entry.wanted).map(|(key, entry)| (key, entry.left));
    let over: BTreeSet<Key> = shares::over(left, owners, share).into_iter().cloned().collect();
    for (key, entry) in services.iter_mut().filter(|(_, entry)| entry.is_cut) {
        if over.contains(key) {
            entry.forget();
        } else {
            entry.wanted |= entry.is_unread;
        }
    }
}

impl Store {
    pub fn new(config: &Config) -> Self {
        Self {
            shelves: Default::default(),
            config: config.clone(),
            reader: Reader::new(config),
            owners: Owners::default(),
            departed: Departures::default(),
        }
    }

    /// Follows an event, at a moment in milliseconds. True where something that shows has changed.
    pub fn take(&mut self, resource: Resource, event: Event<Object>, now: u64) -> bool {
        match event {
            Event::Init => {
                self.shelf(resource).listing.clear();
                false
            }
            Event::InitApply(object) => {
                let Read { key, entry, .. } = self.reader.read(resource, object);
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
                let before = std::mem::replace(&mut shelf.entries, listing);
                shelf.changed |= changed;
                let Self { shelves, departed, .. } = self;
                let after = &shelves[resource as usize].entries;
                before.iter().for_each(|(key, entry)| entry.leave(after.get(key), departed, now));
                changed
            }
            Event::Apply(object) => self.put(resource, self.reader.read(resource, object), now),
            Event::Delete(object) => {
                let shelf = self.shelf(resource);
                shelf.changed = true;
                let before = shelf.entries.remove(&object.key);
                before.is_some_and(|before| {
                    before.leave(None, &mut self.departed, now);
                    true
                })
            }
        }
    }

    /// Follows a change of an object that was read. True where something that shows has changed.
    pub fn put(&mut self, resource: Resource, read: Read, now: u64) -> bool {
        let Read { key, entry, .. } = read;
        let shelf = self.shelf(resource);
        let changed = shelf.entries.get(&key) != Some(&entry);
        shelf.grown += entry.size;
        shelf.changed |= changed;
        let before = shelf.entries.insert(key.clone(), entry);
        if let Some(before) = before.filter(|_| changed) {
            before.leave(self.shelves[resource as usize].entries.get(&key), &mut self.departed, now);
        }
        if self.shelf(resource).grown > SLACK {
            self.settle_one(resource, false);
        }
        changed
    }

    /// What reads its objects.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Forgets what counts no more, and cuts what is over somebody's share, by the tenants of now.
    pub fn settle(&mut self, now: u64) {
        self.departed.forget(now);
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
        if resource == Resource::Services {
            forget(entries, owners, share);
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

    /// The moment from which something that is gone counts no more.
    pub fn departed_until(&self) -> Option<u64> {
        self.departed.until()
    }

    /// The world as the events have it.
    pub fn world(&self) -> World {
        let mut world = World { departed: self.departed.clone(), ..World::default() };
        // What stands in for policies is put together below.
        let is_policy = |live: &Live| matches!(live, Live::InvalidPolicy(_));
        let entries = self.entries().filter(|entry| !entry.is_cut || !entry.live.as_ref().is_some_and(is_policy));
        for live in entries.filter_map(|entry| entry.live.clone()) {
            live.put_into(&mut world);
        }
        let pods = &self.shelves[Resource::Pods as usize].entries;
        pods::settle(&mut world, |key| pods.get(key)?.claim.as_deref());
        for policy in self.cut_policies() {
            Live::InvalidPolicy(policy).put_into(&mut world);
        }
        let services = self.shelves[Resource::Services as usize].entries.iter();
        world.unread_services =
            services.filter(|(_, entry)| entry.is_unread).map(|(key, _)| key.namespace.clone()).collect();
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
            let shut = cut.iter().any(|(_, entry)| entry.is_unread);
            entry.over_share(resource, key, &shares::Over { objects: cut.len(), size, share, tenant }, shut)
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
}

#[cfg(test)]
mod tests;
