//! Kubernetes Events about objects that cannot be enforced as they stand, where their owners look: `kubectl describe`.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::watch::Receiver;
use tracing::warn;

use crate::node::Status;
use crate::watch::Rejected;

/// What an Event's note may have at most, in bytes.
const NOTE: usize = 1024;
/// Events about a namespace's objects that may follow each other at once…
const BURST: u32 = 10;
/// …and how long it is until one more may.
const EACH: Duration = Duration::from_secs(60);
/// How often it is looked whether somebody may be told what was not told before.
const AGAIN: Duration = Duration::from_secs(15);

/// Tells of each object's problems once, until the agent ends. Every agent sees the same problems: the one on the first
/// node, by name, tells.
pub async fn notify(client: Client, mut status: Receiver<Arc<Status>>) {
    let instance = status.borrow().node.clone();
    let recorder = Recorder::new(client, Reporter { controller: "bulkhead".to_owned(), instance: Some(instance) });
    let mut notices = Notices::default();
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if notices.waiting => {}
        }
        let now = Arc::clone(&status.borrow_and_update());
        let Some(enforced) = now.enforced.as_ref() else { continue };
        if enforced.snapshot.world.nodes.keys().next() != Some(&now.node) {
            continue;
        }
        for notice in notices.due(&enforced.snapshot.rejected, Instant::now()) {
            if let Err(error) = recorder.publish(&event(&notice), &reference(notice.about)).await {
                // Told with the next change.
                notices.forget(&notice);
                warn!("no Event about {}: {error}", notice.about.object);
            }
        }
    }
}

/// What was told, and how much each namespace may still be told.
#[derive(Default)]
struct Notices {
    /// By object: a digest of what was said.
    told: HashMap<String, u64>,
    buckets: HashMap<String, Bucket>,
    /// Something is to be told that may not be yet.
    waiting: bool,
}

/// All problems of an object.
struct Notice<'r> {
    about: &'r Rejected,
    text: String,
}

struct Bucket {
    left: u32,
    since: Instant,
}

impl Notices {
    /// What is to be told now: one notice an object, as many as its namespace may have.
    fn due<'r>(&mut self, rejected: &'r [Rejected], now: Instant) -> Vec<Notice<'r>> {
        let notices = rejected.chunk_by(|a, b| a.object == b.object).filter_map(Notice::of);
        let (mut due, mut told) = (Vec::new(), HashMap::new());
        self.waiting = false;
        for notice in notices {
            let (name, digest) = (notice.about.object.to_string(), notice.digest());
            if self.told.get(&name) == Some(&digest) || self.takes(&notice.about.object.namespace, now) {
                if self.told.get(&name) != Some(&digest) {
                    due.push(notice);
                }
                told.insert(name, digest);
            } else {
                self.waiting = true;
                // What it was told before counts until it may be told more.
                told.extend(self.told.get(&name).map(|&before| (name, before)));
            }
        }
        self.told = told;
        self.buckets.retain(|_, bucket| bucket.left(now) < BURST);
        due
    }

    fn takes(&mut self, namespace: &str, now: Instant) -> bool {
        let bucket = self.buckets.entry(namespace.to_owned()).or_insert(Bucket { left: BURST, since: now });
        let left = bucket.left(now);
        if left > bucket.left {
            *bucket = Bucket { left, since: now };
        }
        let takes = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        takes
    }

    fn forget(&mut self, notice: &Notice<'_>) {
        self.told.remove(&notice.about.object.to_string());
        self.waiting = true;
    }
}

impl Bucket {
    fn left(&self, now: Instant) -> u32 {
        let more = now.saturating_duration_since(self.since).as_secs() / EACH.as_secs();
        u32::try_from(more).unwrap_or(BURST).saturating_add(self.left).min(BURST)
    }
}

impl<'r> Notice<'r> {
    fn of(problems: &'r [Rejected]) -> Option<Self> {
        let about = problems.first()?;
        let mut text = String::new();
        for Rejected { field, problem, .. } in problems {
            let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
            text.push_str(&format!("{place}{problem}; "));
        }
        let others: usize = problems.iter().map(|problem| problem.others).sum();
        if others > 0 {
            text.push_str(&format!("so have {others} more of the namespace a problem; "));
        }
        // The effect is read, however much is wrong.
        text.truncate(text.floor_char_boundary(NOTE.saturating_sub(about.effect.len())));
        text.push_str(about.effect);
        Some(Self { about, text })
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.text, &self.about.uid).hash(&mut hasher);
        hasher.finish()
    }
}

fn event(notice: &Notice<'_>) -> Event {
    Event {
        type_: EventType::Warning,
        reason: "NotUnderstood".to_owned(),
        note: Some(notice.text.clone()),
        action: "Enforce".to_owned(),
        secondary: None,
    }
}

fn reference(rejected: &Rejected) -> ObjectReference {
    let Rejected { object, uid, .. } = rejected;
    ObjectReference {
        api_version: Some(object.kind.api_version().to_owned()),
        kind: Some(object.kind.name().to_owned()),
        namespace: Some(object.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        name: Some(object.name.clone()),
        uid: Some(uid.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{Kind, ObjectId};

    fn rejected(namespace: &str, name: usize, field: &str) -> Rejected {
        let object =
            ObjectId { kind: Kind::NetworkPolicy, namespace: namespace.to_owned(), name: format!("{name:04}") };
        Rejected {
            object,
            uid: String::new(),
            field: field.to_owned(),
            problem: "p".repeat(300),
            effect: "it is closed",
            others: 0,
        }
    }

    #[test]
    fn an_object_is_told_of_once_with_all_its_problems() {
        let now = Instant::now();
        let mut notices = Notices::default();
        let all: Vec<_> = ["a", "b", "c", "d", "e"].map(|field| rejected("x", 0, field)).into();
        let due = notices.due(&all, now);
        let [notice] = &due[..] else { panic!("{}", due.len()) };
        assert!(notice.text.contains("a: p") && notice.text.contains("b: p") && notice.text.ends_with("it is closed"));
        assert!(notice.text.len() <= NOTE);
        assert!(notices.due(&all, now).is_empty());
        assert_eq!(notices.due(&all[1..], now).len(), 1, "what is wrong with it has changed");
        assert!(notices.due(&[], now).is_empty() && notices.told.is_empty());
    }

    #[test]
    fn one_namespace_s_thousand_problems_leave_another_s_one() {
        let start = Instant::now();
        let mut notices = Notices::default();
        let mut all: Vec<_> = (0..1000).map(|name| rejected("evil", name, "a")).collect();
        all.push(rejected("x", 0, "a"));
        let told = |notices: &mut Notices, now| {
            let due = notices.due(&all, now);
            let of = |namespace| due.iter().filter(|notice| notice.about.object.namespace == namespace).count();
            (of("evil"), of("x"))
        };
        assert_eq!(told(&mut notices, start), (BURST as usize, 1));
        assert_eq!(told(&mut notices, start), (0, 0));
        assert!(notices.waiting);
        assert_eq!(told(&mut notices, start + 2 * EACH), (2, 0));
        assert_eq!(told(&mut notices, start + 2 * EACH), (0, 0));
        // Whoever changes its mistakes all the time is told no more often.
        let changed: Vec<_> = (0..1000).map(|name| rejected("evil", name, "b")).collect();
        assert_eq!(notices.due(&changed, start + 3 * EACH).len(), 1);
    }
}
