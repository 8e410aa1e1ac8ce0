//! How long changes wait.

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
/// Each costs so much.
fn flood(
    pace: &mut Pace,
    namespaces: usize,
    cost: Duration,
    start: Instant,
    mut meanwhile: impl FnMut(&mut Pace, Instant),
) -> u32 {
    let owners = Owners::default();
    let mut worlds = 0;
    for tick in 0..10_000 {
        let now = start + Duration::from_millis(10 * tick);
        let namespace = format!("evil-{}", tick as usize % namespaces);
        let admitted = pace.admit(&owners, Resource::Pods, change(&namespace, "p"), now).is_some();
        let due: Vec<_> = std::iter::from_fn(|| pace.due(now)).collect();
        for namespace in admitted.then_some(namespace).into_iter().chain(due.into_iter().map(of)) {
            pace.followed(format!("namespace/{namespace}"), Duration::ZERO, true, now);
        }
        meanwhile(pace, now);
        if !pace.changed.is_empty() && pace.ready() <= now {
            worlds += 1;
            pace.spend(cost, now);
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
    let worlds = flood(&mut pace, 1, COST, start, |pace, now| {
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
fn many_who_never_stop_get_half_a_processor_together_and_others_wait_a_moment() {
    // Four seconds at once, and half of a hundred; more where that would make others wait longer.
    for (cost, expected) in [(40, 1300..=1360), (400, 950..=1010)] {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut longest = Duration::ZERO;
        let worlds = flood(&mut pace, 50, Duration::from_millis(cost), start, |pace, now| {
            longest = longest.max(pace.ready().saturating_duration_since(now));
        });
        assert!(expected.contains(&worlds), "{worlds} worlds of {cost} ms");
        assert!(longest <= PAUSE, "what anybody waits for: {longest:?}");
    }
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
    assert!(pace.due(start).is_none());
    assert_eq!(pace.next(start), Some(start + LONGEST), "however much is owed");
    let later = start + LONGEST;
    let due: Vec<_> = std::iter::from_fn(|| pace.due(later)).map(|(resource, _)| resource).collect();
    assert_eq!(due, [Resource::NetworkPolicies, Resource::Pods, Resource::Namespaces], "a policy goes first");
    assert!(pace.next(later).is_none());
}

#[test]
fn who_owes_a_minute_waits_no_longer_than_others_may_notice_and_what_comes_later_waits_anew() {
    let start = Instant::now();
    let (mut pace, owners) = (Pace::new(start), Owners::default());
    pace.followed("namespace/x".to_owned(), Duration::from_secs(60), true, start);
    let mut waits = Vec::new();
    let mut since = std::collections::HashMap::new();
    // Objects that were never seen, every ten milliseconds: the queue never empties by itself.
    for tick in 0..1000 {
        let now = start + Duration::from_millis(10 * tick);
        let name = format!("p{tick}");
        assert!(pace.admit(&owners, Resource::NetworkPolicies, change("x", &name), now).is_none());
        since.insert(name, now);
        let followed: Vec<_> = std::iter::from_fn(|| pace.due(now)).collect();
        for (_, event) in followed {
            let (Event::Apply(object) | Event::Delete(object)) = event else { panic!("{event:?}") };
            waits.push(now - since[&object.key.name]);
        }
    }
    assert!(waits.len() > 900, "{}", waits.len());
    assert!(waits.iter().all(|wait| *wait <= LONGEST + Duration::from_millis(10)), "{:?}", waits.iter().max());
    assert!(waits.iter().filter(|wait| **wait > LONGEST / 2).count() > 400, "it waits");
}

#[test]
fn a_world_that_took_seconds_makes_nobody_wait_longer_than_a_moment() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    for _ in 0..10 {
        pace.followed("namespace/x".to_owned(), Duration::ZERO, true, start);
        pace.spend(Duration::from_secs(3), start);
    }
    assert_eq!(pace.ready(), start + PAUSE);
}

#[test]
fn large_objects_wait_for_their_turn_and_what_others_write_is_not_behind_them() {
    let start = Instant::now();
    let (mut pace, owners) = (Pace::new(start), Owners::default());
    let large = |namespace: &str, name: &str| {
        let Event::Apply(object) = change(namespace, name) else { panic!("an object") };
        Event::Apply(Object { text: vec![b' '; LARGE + 1], ..object })
    };
    for name in ["a", "b", "c"] {
        assert!(pace.admit(&owners, Resource::NetworkPolicies, large("evil", name), start).is_none());
    }
    assert!(pace.admit(&owners, Resource::NetworkPolicies, change("x", "a"), start).is_some(), "at once");
    assert!(pace.admit(&owners, Resource::NetworkPolicies, large("y", "a"), start).is_none());
    // Each takes as long as it does; who has spent nothing comes before who has.
    let mut order = Vec::new();
    while let Some(due) = pace.due(start) {
        let namespace = of(due);
        pace.followed(format!("namespace/{namespace}"), Duration::from_millis(30), true, start);
        order.push(namespace);
    }
    assert!(order.iter().position(|it| it == "y") <= Some(1), "{order:?}");
    assert_eq!(order.len(), 4);
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
    // Six owners of a sixth of it each, and one who has a little more.
    let text = vec![b' '; WAITING / 6];
    for owner in ["x", "a", "b", "c", "d", "e"] {
        assert!(pace.crowded_out().is_none());
        let Event::Apply(object) = change(owner, "c") else { panic!("an object") };
        let event = Event::Apply(Object { text: text.clone(), ..object });
        assert!(pace.admit(&owners, Resource::Pods, event, start).is_none());
    }
    assert!(pace.admit(&owners, Resource::Pods, change("x", "d"), start).is_none());
    assert_eq!(pace.crowded_out().map(of).as_deref(), Some("x"), "who has most");
    assert!(pace.crowded_out().is_none());
}
