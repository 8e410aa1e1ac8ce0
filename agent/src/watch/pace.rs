//! How much work each owner's changes may make: a world costs tens of milliseconds at 10,000 pods, whoever changed a
//! label in it. Who changes things all the time waits, with its own changes alone, and no longer than [`LONGEST`].
//!
//! A large object takes milliseconds to be understood. It waits for a turn, too, so that what others write is not behind
//! many of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use kube::runtime::watcher::Event;

use super::Resource;
use super::live::{Key, Object};
use super::shares::Owners;

/// Time of a processor: how much one may have at once, and which part of it comes back.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: f64,
    rate: f64,
}

/// An owner's. A burst is a rollout of some hundred changes that is followed without pause; a fifth of a processor goes to
/// who never stops.
const OWNER: Allowance = Allowance { burst: 10.0, rate: 0.2 };
/// Everybody's together, administrators included.
const ALL: Allowance = Allowance { burst: 4.0, rate: 0.5 };
/// Bytes that waiting changes may have. Beyond that, those of who has most of them wait no longer.
const WAITING: usize = 24 << 20;
/// An object of more bytes than this waits for its turn even where its owner has spent nothing.
pub(super) const LARGE: usize = 64 << 10;
/// What waits is followed after this long, whatever its owner has spent: with the world that shows it, it is enforced
/// within a second.
const LONGEST: Duration = Duration::from_millis(700);
/// A world is made this long after the last one at the latest, whatever that one has cost.
const PAUSE: Duration = Duration::from_millis(100);

/// What is left of an allowance, in seconds; less than none where the last change cost more.
#[derive(Clone, Copy, Debug)]
struct Credit {
    left: f64,
    at: Instant,
}

impl Credit {
    const fn new(allowance: Allowance, now: Instant) -> Self {
        Self { left: allowance.burst, at: now }
    }

    fn left(self, allowance: Allowance, now: Instant) -> f64 {
        let back = now.saturating_duration_since(self.at).as_secs_f64() * allowance.rate;
        (self.left + back).min(allowance.burst)
    }

    fn spend(&mut self, allowance: Allowance, now: Instant, time: Duration) {
        *self = Self { left: self.left(allowance, now) - time.as_secs_f64(), at: now };
    }

    /// When something is left.
    fn ready(self, allowance: Allowance) -> Instant {
        self.at + Duration::from_secs_f64((-self.left / allowance.rate).max(0.0))
    }
}

/// The place of an object in its owner's queue: policies before others, then in the order of the first change.
type Place = (bool, u64);

/// Changes of an owner that wait, the newest of each object.
#[derive(Debug)]
struct Waiting {
    order: BTreeMap<Place, (Resource, Key)>,
    events: HashMap<(Resource, Key), (Place, Event<Object>)>,
    bytes: usize,
    /// Since when the first of them does.
    since: Instant,
    next: u64,
    /// Those before this one have waited long enough.
    released: u64,
}

/// Who has spent how much, and what waits.
#[derive(Debug)]
pub(super) struct Pace {
    credits: HashMap<String, Credit>,
    all: Credit,
    waiting: HashMap<String, Waiting>,
    /// The owners of what has changed since the last world.
    changed: HashSet<String>,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self { credits: HashMap::new(), all: Credit::new(ALL, now), waiting: HashMap::new(), changed: HashSet::new() }
    }

    /// The event, where it is to be followed now; else it waits for its owner's next turn.
    pub fn admit(
        &mut self,
        owners: &Owners,
        resource: Resource,
        event: Event<Object>,
        now: Instant,
    ) -> Option<Event<Object>> {
        let (Event::Apply(object) | Event::Delete(object)) = &event else {
            if matches!(event, Event::InitDone) {
                self.forget(resource);
            }
            return Some(event);
        };
        let Some(owner) = owner(owners, resource, &object.key) else { return Some(event) };
        let has_credit = self.credits.get(&owner).is_none_or(|credit| credit.left(OWNER, now) > 0.0);
        if has_credit && object.text.len() <= LARGE && !self.waiting.contains_key(&owner) {
            return Some(event);
        }
        self.waiting.entry(owner).or_insert_with(|| Waiting::new(now)).put(resource, event);
        None
    }

    /// A change whose turn it is: of those who may go on, the one's that has spent least.
    pub fn due(&mut self, now: Instant) -> Option<(Resource, Event<Object>)> {
        let credits = &self.credits;
        let left = |owner: &String| credits.get(owner).map_or(OWNER.burst, |credit| credit.left(OWNER, now));
        let owners = self.waiting.iter().filter(|(owner, waiting)| waiting.is_due(left(owner), now));
        let owner = owners.max_by(|(a, _), (b, _)| left(a).total_cmp(&left(b)))?.0.clone();
        let left = left(&owner);
        let waiting = self.waiting.get_mut(&owner)?;
        let event = waiting.take(left, now);
        self.drop_empty(&owner);
        event
    }

    fn drop_empty(&mut self, owner: &str) {
        if self.waiting.get(owner).is_some_and(|waiting| waiting.order.is_empty()) {
            self.waiting.remove(owner);
        }
    }

    /// A change that waits no longer, because too many bytes do.
    pub fn crowded_out(&mut self) -> Option<(Resource, Event<Object>)> {
        let bytes: usize = self.waiting.values().map(|waiting| waiting.bytes).sum();
        if bytes <= WAITING {
            return None;
        }
        let (owner, waiting) = self.waiting.iter_mut().max_by_key(|(_, waiting)| waiting.bytes)?;
        let owner = owner.clone();
        let event = waiting.first();
        self.drop_empty(&owner);
        event
    }

    /// When the next of them is due.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let due = |(owner, waiting): (&String, &Waiting)| {
            let credit = self.credits.get(owner);
            if waiting.is_due(credit.map_or(OWNER.burst, |credit| credit.left(OWNER, now)), now) {
                return now;
            }
            let longest = waiting.since + LONGEST;
            credit.map_or(now, |credit| credit.ready(OWNER)).min(longest)
        };
        self.waiting.iter().map(due).min()
    }

    /// When the next world may be made.
    pub fn ready(&self) -> Instant {
        self.all.ready(ALL).min(self.all.at + PAUSE)
    }

    /// To follow a change of an owner's took so long. It shows, or not: then no world is made of it.
    pub fn followed(&mut self, owner: String, time: Duration, shows: bool, now: Instant) {
        self.credits.entry(owner.clone()).or_insert(Credit::new(OWNER, now)).spend(OWNER, now, time);
        if shows {
            self.changed.insert(owner);
        }
    }

    /// A world was made of what has changed, and cost so much time.
    pub fn spend(&mut self, time: Duration, now: Instant) {
        self.all.spend(ALL, now, time);
        let changed = std::mem::take(&mut self.changed);
        let each = time / u32::try_from(changed.len().max(1)).unwrap_or(u32::MAX);
        for owner in changed {
            self.credits.entry(owner).or_insert(Credit::new(OWNER, now)).spend(OWNER, now, each);
        }
        self.credits.retain(|_, credit| credit.left(OWNER, now) < OWNER.burst);
    }

    /// A list has come that knows better.
    fn forget(&mut self, resource: Resource) {
        for waiting in self.waiting.values_mut() {
            waiting.forget(resource);
        }
        self.waiting.retain(|_, waiting| !waiting.order.is_empty());
    }
}

/// Who pays for a change of an object; `None` where only administrators make one.
pub(super) fn owner(owners: &Owners, resource: Resource, key: &Key) -> Option<String> {
    Some(owners.of_namespace(resource.namespace(key)?).to_string())
}

impl Resource {
    /// The namespace that an object is in or is; `None` for what only administrators write.
    fn namespace(self, key: &Key) -> Option<&str> {
        match self {
            Self::Namespaces => Some(&key.name),
            Self::Nodes | Self::ServiceCidrs | Self::ClusterNetworkPolicies | Self::Tenants => None,
            Self::Pods | Self::Services | Self::EndpointSlices | Self::NetworkPolicies => Some(&key.namespace),
        }
    }
}

impl Waiting {
    fn new(now: Instant) -> Self {
        Self { order: BTreeMap::new(), events: HashMap::new(), bytes: 0, since: now, next: 0, released: 0 }
    }

    fn put(&mut self, resource: Resource, event: Event<Object>) {
        let (Event::Apply(object) | Event::Delete(object)) = &event else { return };
        let what = (resource, object.key.clone());
        self.bytes += object.text.len();
        if let Some((_, before)) = self.events.get_mut(&what) {
            self.bytes -= size(before);
            *before = event;
            return;
        }
        let place = (resource != Resource::NetworkPolicies, self.next);
        self.next += 1;
        self.order.insert(place, what.clone());
        self.events.insert(what, (place, event));
    }

    /// `left`: what its owner has left.
    fn is_due(&self, left: f64, now: Instant) -> bool {
        left > 0.0 || self.since + LONGEST <= now || self.first_released().is_some()
    }

    fn first_released(&self) -> Option<Place> {
        self.order.keys().find(|(_, number)| *number < self.released).copied()
    }

    fn take(&mut self, left: f64, now: Instant) -> Option<(Resource, Event<Object>)> {
        if self.since + LONGEST <= now {
            (self.released, self.since) = (self.next, now);
        }
        if left > 0.0 {
            return self.first();
        }
        let place = self.first_released()?;
        self.remove(place)
    }

    fn first(&mut self) -> Option<(Resource, Event<Object>)> {
        let place = self.order.keys().next().copied()?;
        self.remove(place)
    }

    fn remove(&mut self, place: Place) -> Option<(Resource, Event<Object>)> {
        let what = self.order.remove(&place)?;
        let (_, event) = self.events.remove(&what)?;
        self.bytes -= size(&event);
        Some((what.0, event))
    }

    fn forget(&mut self, resource: Resource) {
        self.order.retain(|_, (of, _)| *of != resource);
        let gone = self.events.extract_if(|(of, _), _| *of == resource);
        self.bytes -= gone.map(|(_, (_, event))| size(&event)).sum::<usize>();
    }
}

fn size(event: &Event<Object>) -> usize {
    if let Event::Apply(object) | Event::Delete(object) = event { object.text.len() } else { 0 }
}

#[cfg(test)]
mod tests;
