//! The loop that follows the events of all resources and publishes worlds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch::Sender;
use tracing::{debug, info, warn};

use super::aside::Aside;
use super::board::{Board, Progress};
use super::fetch::fetch;
use super::live::Object;
use super::memory::Memory;
use super::pace::{self, LARGE, Pace};
use super::problem::{is_not_served, problem};
use super::reader::Read;
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
    /// An object that was cut and has room now.
    fetched: Aside,
    /// A large object whose turn it is.
    large: Aside,
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
        let (fetched, large) = (Aside::default(), Aside::default());
        Self { store, memory, board, traffic, sender, pending, fetched, large, pace, work, started, held_until }
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
            let release = at(self.large.is_idle().then(|| self.pace.next(Instant::now())).flatten());
            tokio::select! {
                Some((resource, event)) = events.next() => match event {
                    Ok(event) => self.admit(resource, event),
                    Err(error) => self.fail(resource, &error),
                },
                (resource, read) = self.fetched.next() => {
                    self.put(resource, read);
                    // The next one is asked for once a world is published.
                    self.touch();
                }
                (resource, read) = self.large.next() => self.put(resource, read),
                () = release => self.turn(),
                () = publish => {
                    self.publish();
                    self.fetch(&client);
                }
            }
        }
    }

    /// Asks for an object that was cut and has room now, where none is being asked for.
    fn fetch(&mut self, client: &kube::Client) {
        if let Some((resource, key)) = self.fetched.is_idle().then(|| self.store.wanted()).flatten() {
            let answer = fetch(client.clone(), self.store.reader().clone(), resource, key.clone());
            self.fetched.start(resource, key, answer.boxed());
        }
    }

    /// Follows an event, or has it wait where its owner has had enough.
    fn admit(&mut self, resource: Resource, event: Event<Object>) {
        self.fetched.overtake(resource, &event);
        if let Some(event) = self.pace.admit(self.store.owners(), resource, event, Instant::now()) {
            self.take(resource, event);
        }
        while let Some((resource, event)) = self.pace.crowded_out() {
            self.hurry(resource, event);
        }
    }

    /// Follows a change that should have waited. A large object is cut where its kind can be: it is read again once there
    /// is room.
    fn hurry(&mut self, resource: Resource, event: Event<Object>) {
        self.large.overtake(resource, &event);
        match event {
            Event::Apply(object) if object.text.len() > LARGE => {
                let read = self.store.reader().read_briefly(resource, object);
                self.put(resource, Some(read));
            }
            event => self.take(resource, event),
        }
    }

    /// Follows a change that has waited. A large one is read beside this loop, one at a time, so that what others write
    /// meanwhile is followed at once.
    fn turn(&mut self) {
        match self.pace.due(Instant::now()) {
            Some((resource, Event::Apply(object))) if object.text.len() > LARGE => {
                let (reader, key) = (self.store.reader().clone(), object.key.clone());
                self.large.start(resource, key, reader.read_aside(resource, object).map(Some).boxed());
            }
            Some((resource, event)) => self.take(resource, event),
            None => {}
        }
    }

    /// Follows a change of an object that was read.
    fn put(&mut self, resource: Resource, read: Option<Read>) {
        let Some(read) = read else { return };
        let (owner, time) = (pace::owner(self.store.owners(), resource, &read.key), read.time);
        let changed = self.store.put(resource, read, self.now());
        self.charge(owner, time, changed);
        if changed {
            self.touch();
        }
    }

    fn charge(&mut self, owner: Option<String>, time: Duration, changed: bool) {
        if let Some(owner) = owner {
            self.pace.followed(owner, time, changed, Instant::now());
        }
    }

    fn take(&mut self, resource: Resource, event: Event<Object>) {
        self.large.overtake(resource, &event);
        let listed = matches!(event, Event::InitDone);
        let owner = match &event {
            Event::Apply(object) | Event::Delete(object) => pace::owner(self.store.owners(), resource, &object.key),
            Event::Init | Event::InitApply(_) | Event::InitDone => None,
        };
        let begin = Instant::now();
        let changed = self.store.take(resource, event, self.now());
        self.charge(owner, begin.elapsed(), changed);
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
