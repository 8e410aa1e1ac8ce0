//! The loop that follows the events of all resources and publishes worlds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch::Sender;
use tracing::{debug, info, warn};

use super::board::{Board, Progress};
use super::fetch::Fetch;
use super::live::Object;
use super::memory::Memory;
use super::pace::{self, Pace};
use super::store::Store;
use super::traffic::Traffic;
use super::{Resource, Snapshot};

/// A world is published once nothing has come for this long: what is applied together is mostly enforced together…
const QUIET: Duration = Duration::from_millis(5);
/// …and after this long at the latest.
const PATIENCE: Duration = Duration::from_millis(50);

/// Follows a cluster.
pub(super) struct Follower {
    store: Store,
    memory: Memory,
    board: Arc<Board>,
    traffic: Arc<Traffic>,
    sender: Sender<Option<Arc<Snapshot>>>,
    pending: Option<Pending>,
    fetch: Fetch,
    pace: Pace,
    work: Arc<Work>,
    /// What [`Self::now`] counts from.
    started: Instant,
    /// Some end of a Service counts no more then.
    held_until: Option<Instant>,
}

/// What the newest world cost whoever enforces it.
#[derive(Debug, Default)]
pub(super) struct Work(AtomicU64);

impl Work {
    pub fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Changes that are in no snapshot yet.
#[derive(Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
}

impl Pending {
    fn due(self) -> Instant {
        (self.last + QUIET).min(self.first + PATIENCE)
    }
}

impl Follower {
    pub fn new(
        store: Store,
        memory: Memory,
        board: Arc<Board>,
        traffic: Arc<Traffic>,
        sender: Sender<Option<Arc<Snapshot>>>,
    ) -> Self {
        let (pace, work) = (Pace::new(Instant::now()), Arc::default());
        let (pending, started, held_until) = (None, Instant::now(), None);
        let fetch = Fetch::new();
        Self { store, memory, board, traffic, sender, pending, fetch, pace, work, started, held_until }
    }

    /// Where whoever enforces the worlds says what that costs.
    pub fn work(&self) -> Arc<Work> {
        Arc::clone(&self.work)
    }

    /// Never ends.
    pub async fn run(mut self, client: kube::Client) {
        let events =
            Resource::ALL.map(|resource| resource.events(client.clone()).map(move |event| (resource, event)).boxed());
        let mut events = stream::select_all(events);
        loop {
            let publish = at(self.due());
            let release = at(self.pace.next(Instant::now()));
            tokio::select! {
                Some((resource, event)) = events.next() => match event {
                    Ok(event) => self.admit(resource, event),
                    Err(error) => self.fail(resource, &error),
                },
                object = self.fetch.next() => self.fetched(object),
                () = release => {
                    // One at a time: what others write meanwhile is read in between.
                    if let Some((resource, event)) = self.pace.due(Instant::now()) {
                        self.take(resource, event);
                    }
                }
                () = publish => {
                    self.publish();
                    self.fetch.start(&client, || self.store.wanted());
                }
            }
        }
    }

    /// An object that was cut and has room now.
    fn fetched(&mut self, (resource, object): (Resource, Option<Object>)) {
        if let Some(object) = object {
            self.store.take(resource, Event::Apply(object), self.now());
        }
        self.touch();
    }

    /// Follows an event, or has it wait where its owner has had enough.
    fn admit(&mut self, resource: Resource, event: Event<Object>) {
        self.fetch.overtake(resource, &event);
        if let Some(event) = self.pace.admit(self.store.owners(), resource, event, Instant::now()) {
            self.take(resource, event);
        }
    }

    fn take(&mut self, resource: Resource, event: Event<Object>) {
        let listed = matches!(event, Event::InitDone);
        let owner = match &event {
            Event::Apply(object) | Event::Delete(object) => pace::owner(self.store.owners(), resource, &object.key),
            Event::Init | Event::InitApply(_) | Event::InitDone => None,
        };
        let begin = Instant::now();
        let changed = self.store.take(resource, event, self.now());
        if let Some(owner) = owner {
            let now = Instant::now();
            self.pace.followed(owner, now - begin, changed, now);
        }
        if listed && self.board.get(resource) != Progress::Listed {
            info!(%resource, "listed");
            self.board.set(resource, Progress::Listed);
        }
        if changed || listed {
            self.touch();
        }
    }

    fn fail(&mut self, resource: Resource, error: &watcher::Error) {
        let progress = self.board.get(resource);
        if progress == Progress::Listed {
            // The watch goes on by itself, and the last state stays, also where the kind is not served for a while.
            debug!(%resource, %error, "the watch was interrupted");
            return;
        }
        if is_not_served(error) {
            self.traffic.heard(resource, 0);
            match self.memory.misses(resource) {
                Some(problem) => self.wait_for(resource, problem),
                None if progress != Progress::Absent => {
                    info!(%resource, "not served by this cluster: asked for again from time to time");
                    self.board.set(resource, Progress::Absent);
                    self.touch();
                }
                None => {}
            }
            return;
        }
        if progress != Progress::Absent {
            self.wait_for(resource, problem(error));
        }
    }

    fn wait_for(&self, resource: Resource, problem: String) {
        let waiting = Progress::Waiting(Some(problem));
        if self.board.get(resource) != waiting {
            warn!(%resource, ?waiting, "cannot be listed");
            self.board.set(resource, waiting);
        }
    }

    /// When a world is to be published.
    fn due(&self) -> Option<Instant> {
        let changes = self.pending.map(|pending| pending.due().max(self.pace.ready()));
        let held = self.held_until.map(|until| until.max(self.pace.ready()));
        [changes, held].into_iter().flatten().min()
    }

    /// Something has changed that a snapshot should show.
    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.pending.map_or(now, |pending| pending.first);
        self.pending = Some(Pending { first, last: now });
    }

    fn publish(&mut self) {
        let held = self.held_until.take();
        let Some(first) = self.pending.take().map(|pending| pending.first).or(held) else { return };
        if !self.board.is_complete() {
            return;
        }
        let begin = Instant::now();
        self.renew(first);
        let now = Instant::now();
        self.pace.spend(now - begin + self.work.get(), now);
    }

    /// Milliseconds, as [`policy::model::Departures`] has them.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn renew(&mut self, first: Instant) {
        self.memory.keep(self.store.filled());
        self.store.settle(self.now());
        let (mut world, rejected) = (self.store.world(), self.store.rejected());
        let last = self.sender.borrow().clone();
        if let Some(last) = &last {
            world.hold_policies(&last.world);
        }
        self.held_until = self.store.departed_until().map(|until| self.started + Duration::from_millis(until));
        if last.is_some_and(|last| last.world == world && last.rejected == rejected) {
            return;
        }
        self.sender.send_replace(Some(Arc::new(Snapshot { world, rejected, received: first })));
    }
}

/// Waits for a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// True where the API server does not know the kind.
pub(super) fn is_not_served(error: &watcher::Error) -> bool {
    status(error).is_some_and(|code| code == 404)
}

/// What the API server answered to a list or a watch.
fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// What is wrong and what to do about it.
pub(super) fn problem(error: &watcher::Error) -> String {
    let remedy = match status(error) {
        Some(401) => "the API server does not know who is asking: renew the credentials",
        Some(403) => "grant what the ClusterRole of the chart grants",
        Some(_) => "see the log of the API server",
        None => "see that the API server can be reached from here",
    };
    format!("{error}: {remedy}")
}
