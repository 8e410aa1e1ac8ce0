//! How much work each owner's changes may make: a world costs tens of milliseconds at 10,000 pods, whoever changed a
//! label in it. Who changes things all the time waits, with its own changes alone.

use std::collections::{HashMap, HashSet};
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
/// Bytes that one owner's waiting changes may have: beyond that they are taken at once.
const WAITING: usize = 24 << 20;

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

/// Changes of an owner that wait, the newest of each object, in the order in which the objects first changed.
#[derive(Debug, Default)]
struct Waiting {
    order: Vec<(Resource, Key)>,
    events: HashMap<(Resource, Key), Event<Object>>,
    bytes: usize,
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
        if has_credit && !self.waiting.contains_key(&owner) {
            return Some(event);
        }
        self.waiting.entry(owner).or_default().put(resource, event);
        None
    }

    /// The changes whose owners may go on.
    pub fn due(&mut self, now: Instant) -> Vec<(Resource, Event<Object>)> {
        let Self { waiting, credits, .. } = self;
        let is_due = |owner: &String, waiting: &mut Waiting| {
            waiting.bytes > WAITING || credits.get(owner).is_none_or(|credit| credit.left(OWNER, now) > 0.0)
        };
        let due: Vec<_> = waiting.extract_if(is_due).collect();
        due.into_iter().flat_map(|(_, waiting)| waiting.into_events()).collect()
    }

    /// When the next of them may.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let ready = |(owner, waiting): (&String, &Waiting)| match self.credits.get(owner) {
            Some(credit) if waiting.bytes <= WAITING => credit.ready(OWNER),
            _ => now,
        };
        self.waiting.iter().map(ready).min()
    }

    /// When the next world may be made.
    pub fn ready(&self) -> Instant {
        self.all.ready(ALL)
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
            waiting.order.retain(|(of, _)| *of != resource);
            waiting.events.retain(|(of, _), _| *of != resource);
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
    fn put(&mut self, resource: Resource, event: Event<Object>) {
        let (Event::Apply(object) | Event::Delete(object)) = &event else { return };
        let (what, bytes) = ((resource, object.key.clone()), object.text.len());
        self.bytes += bytes;
        match self.events.insert(what.clone(), event) {
            Some(Event::Apply(before) | Event::Delete(before)) => self.bytes -= before.text.len(),
            _ => self.order.push(what),
        }
    }

    fn into_events(self) -> Vec<(Resource, Event<Object>)> {
        let Self { order, mut events, .. } = self;
        order.into_iter().filter_map(|what| Some((what.0, events.remove(&what)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(100);

    fn change(namespace: &str, name: &str) -> Event<Object> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        Event::Apply(Object { key, uid: String::new(), text: b"{}".into() })
    }

    fn of((_, event): (Resource, Event<Object>)) -> String {
        let (Event::Apply(object) | Event::Delete(object)) = event else { panic!("{event:?}") };
        object.key.namespace
    }

    /// Changes every ten milliseconds for a hundred seconds: how many worlds were made of them.
    fn flood(pace: &mut Pace, namespaces: usize, start: Instant, mut meanwhile: impl FnMut(&mut Pace, Instant)) -> u32 {
        let owners = Owners::default();
        let mut worlds = 0;
        for tick in 0..10_000 {
            let now = start + Duration::from_millis(10 * tick);
            let namespace = format!("evil-{}", tick as usize % namespaces);
            let admitted = pace.admit(&owners, Resource::Pods, change(&namespace, "p"), now).is_some();
            let due = pace.due(now);
            for namespace in admitted.then_some(namespace).into_iter().chain(due.into_iter().map(of)) {
                pace.followed(format!("namespace/{namespace}"), Duration::ZERO, true, now);
            }
            meanwhile(pace, now);
            if !pace.changed.is_empty() && pace.ready() <= now {
                worlds += 1;
                pace.spend(COST, now);
            }
        }
        worlds
    }

    #[test]
    fn who_never_stops_gets_a_fifth_of_a_processor_and_nobody_else_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let owners = Owners::default();
        let mut waited = 0;
        let worlds = flood(&mut pace, 1, start, |pace, now| {
            // Somebody else changes something once a second.
            if now.duration_since(start).as_millis() % 1000 == 500 {
                waited += u32::from(pace.admit(&owners, Resource::Pods, change("x", "a"), now).is_none());
                pace.followed("namespace/x".to_owned(), Duration::ZERO, true, now);
            }
        });
        assert_eq!(waited, 0);
        // Ten seconds at once, a fifth of a hundred, and the other one's hundred worlds.
        assert!((300..=420).contains(&worlds), "{worlds}");
    }

    #[test]
    fn many_who_never_stop_get_half_a_processor_together() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut longest = Duration::ZERO;
        let worlds = flood(&mut pace, 50, start, |pace, now| {
            longest = longest.max(pace.ready().saturating_duration_since(now));
        });
        // Four seconds at once, and half of a hundred.
        assert!((500..=560).contains(&worlds), "{worlds}");
        assert!(longest <= 2 * COST, "what anybody waits for: {longest:?}");
    }

    #[test]
    fn what_waits_is_followed_in_its_order_and_the_newest_of_each_object_alone() {
        let start = Instant::now();
        let (mut pace, owners) = (Pace::new(start), Owners::default());
        assert!(pace.admit(&owners, Resource::Pods, change("x", "a"), start).is_some());
        pace.followed("namespace/x".to_owned(), Duration::from_secs(1), true, start);
        pace.spend(Duration::from_secs(10), start);
        for (resource, name) in [(Resource::Pods, "b"), (Resource::NetworkPolicies, "p"), (Resource::Pods, "b")] {
            assert!(pace.admit(&owners, resource, change("x", name), start).is_none());
        }
        assert!(pace.admit(&owners, Resource::Namespaces, change("", "x"), start).is_none(), "it is the owner's, too");
        assert!(pace.admit(&owners, Resource::Nodes, change("", "x"), start).is_some());
        assert!(pace.due(start).is_empty());
        assert_eq!(pace.next(start), Some(start + Duration::from_secs(5)), "one second is owed");
        let later = start + Duration::from_millis(5010);
        let due: Vec<_> = pace.due(later).into_iter().map(|(resource, _)| resource).collect();
        assert_eq!(due, [Resource::Pods, Resource::NetworkPolicies, Resource::Namespaces]);
        assert!(pace.next(later).is_none());
    }

    #[test]
    fn a_list_takes_the_place_of_what_waits_and_too_much_does_not_wait() {
        let start = Instant::now();
        let (mut pace, owners) = (Pace::new(start), Owners::default());
        assert!(pace.admit(&owners, Resource::Pods, change("x", "a"), start).is_some());
        pace.followed("namespace/x".to_owned(), Duration::from_secs(60), false, start);
        assert!(pace.admit(&owners, Resource::Pods, change("x", "b"), start).is_none());
        assert!(pace.admit(&owners, Resource::Pods, Event::InitDone, start).is_some());
        assert!(pace.next(start).is_none());
        let text = vec![b' '; WAITING / 4];
        for name in ["c", "d", "e", "f", "g"] {
            let Event::Apply(object) = change("x", name) else { panic!("an object") };
            let event = Event::Apply(Object { text: text.clone(), ..object });
            assert!(pace.admit(&owners, Resource::Pods, event, start).is_none());
        }
        assert_eq!(pace.due(start).len(), 5);
    }
}
