//! The loop that follows the events of all resources and publishes worlds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::watch::Sender;
use tracing::{debug, info, warn};

use super::board::{Board, Progress};
use super::memory::Memory;
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
    pub const fn new(
        store: Store,
        memory: Memory,
        board: Arc<Board>,
        traffic: Arc<Traffic>,
        sender: Sender<Option<Arc<Snapshot>>>,
    ) -> Self {
        Self { store, memory, board, traffic, sender, pending: None }
    }

    /// Never ends.
    pub async fn run(mut self, client: kube::Client) {
        let events =
            Resource::ALL.map(|resource| resource.events(client.clone()).map(move |event| (resource, event)).boxed());
        let mut events = stream::select_all(events);
        loop {
            let due = self.pending.map(Pending::due);
            let publish = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((resource, event)) = events.next() => match event {
                    Ok(event) => self.take(resource, event),
                    Err(error) => self.fail(resource, &error),
                },
                () = publish => self.publish(),
            }
        }
    }

    fn take(&mut self, resource: Resource, event: Event<Value>) {
        let listed = matches!(event, Event::InitDone);
        let changed = self.store.take(resource, event);
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

    /// Something has changed that a snapshot should show.
    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.pending.map_or(now, |pending| pending.first);
        self.pending = Some(Pending { first, last: now });
    }

    fn publish(&mut self) {
        let Some(Pending { first, .. }) = self.pending.take() else { return };
        if !self.board.is_complete() {
            return;
        }
        self.memory.keep(self.store.filled());
        let (mut world, rejected) = (self.store.world(), self.store.rejected());
        let last = self.sender.borrow().clone();
        if let Some(last) = &last {
            world.hold_policies(&last.world);
        }
        if last.is_some_and(|last| last.world == world && last.rejected == rejected) {
            return;
        }
        self.sender.send_replace(Some(Arc::new(Snapshot { world, rejected, received: first })));
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
