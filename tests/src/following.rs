//! A world that is watched by a thread in the API server's network, for tests that look at it from outside.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use agent::watch::{Access, Cluster, Snapshot, Watch};
use policy::model::{Config, World};
use tokio::sync::{oneshot, watch};

use crate::api_server::ApiServer;

/// Longer than the longest pause between two attempts of a watch.
const PATIENCE: Duration = Duration::from_secs(90);

/// A watch on a bare API server, as the agent's service account. It ends with this value.
#[derive(Debug)]
pub struct Following {
    watch: Watch,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Following {
    /// # Panics
    /// Where no client can be made.
    #[must_use]
    pub fn start(server: &ApiServer) -> Self {
        let access = Access { kubeconfig: Some(server.agent_config()), context: None };
        let (netns, (sender, receiver)) = (server.netns_handle(), mpsc::channel());
        let (stop, stopped) = oneshot::channel();
        let follow = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let cluster = Cluster::new(&access).await.expect("a client");
                sender.send(agent::watch::start(&cluster, &Config::default(), None)).expect("the test waits");
                let _ = stopped.await;
            });
        };
        let thread = thread::spawn(move || netns.run(follow).expect("enter the namespace"));
        let watch = receiver.recv().expect("a watch");
        Self { snapshots: watch.snapshots(), watch, stop: Some(stop), thread: Some(thread) }
    }

    #[must_use]
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }

    /// # Panics
    /// Where there is none yet.
    #[must_use]
    pub fn world(&self) -> World {
        self.snapshot().expect("a snapshot").world.clone()
    }

    /// Waits until the newest snapshot is as asked for, and returns it.
    ///
    /// # Panics
    /// Where it is not in time.
    pub fn until(&self, what: &str, is: impl Fn(&Option<Arc<Snapshot>>) -> bool) -> Option<Arc<Snapshot>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.snapshot();
            if is(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}; {:?}", self.watch.missing());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same, of the world in it.
    ///
    /// # Panics
    /// Where it is not in time.
    pub fn until_world(&self, what: &str, is: impl Fn(&World) -> bool) -> World {
        let snapshot = self.until(what, |snapshot| snapshot.as_ref().is_some_and(|it| is(&it.world)));
        snapshot.expect("it is as asked for").world.clone()
    }

    /// Keeps every world from the one at hand on.
    #[must_use]
    pub fn record(&self) -> Recording {
        let mut snapshots = self.snapshots.clone();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let mut worlds = Vec::new();
            runtime.block_on(async {
                loop {
                    worlds.extend(snapshots.borrow_and_update().as_ref().map(|it| it.world.clone()));
                    tokio::select! {
                        changed = snapshots.changed() => if changed.is_err() { break },
                        _ = &mut stopped => break,
                    }
                }
            });
            worlds
        });
        Recording { stop, thread }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Worlds that are being kept.
#[derive(Debug)]
pub struct Recording {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<Vec<World>>,
}

impl Recording {
    /// # Panics
    /// Where the thread that kept them did.
    #[must_use]
    pub fn stop(self) -> Vec<World> {
        let _ = self.stop.send(());
        self.thread.join().expect("the worlds")
    }
}
