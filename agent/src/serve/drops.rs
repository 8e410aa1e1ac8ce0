//! Drops as they happen: one reader of the kernel's ring for all who ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use policy::compile::{Desired, NodeView};
use policy::model::World;
use tokio::sync::broadcast;
use tokio::sync::watch::Receiver;
use tracing::warn;

use super::recent::Recent;
use crate::events::{Directory, DropRecord, EventReader};
use crate::kernel::Pins;
use crate::node::{Enforced, Status};

/// How many one who follows may be behind before it misses some.
const BEHIND: usize = 4096;
/// How soon a new world's names are used.
const PULSE: Duration = Duration::from_millis(200);

/// The newest drops, and those that come.
#[derive(Clone, Debug)]
pub struct Drops {
    recent: Arc<Mutex<Recent>>,
    live: broadcast::Sender<Arc<DropRecord>>,
}

impl Drops {
    /// Reads the ring from now on, on a thread of its own, until the agent ends.
    ///
    /// # Errors
    /// There is no ring.
    pub fn read(pins: &Pins, status: Receiver<Arc<Status>>) -> Result<Self> {
        let reader = EventReader::open(pins)?;
        let drops = Self { recent: Arc::default(), live: broadcast::channel(BEHIND).0 };
        let writer = drops.clone();
        let run = move || {
            if let Err(error) = writer.run(reader, &status) {
                tracing::error!("drops are counted, but no longer shown: {error:#}");
            }
        };
        thread::Builder::new().name("drops".to_owned()).spawn(run).context("cannot start a thread")?;
        Ok(drops)
    }

    /// The newest of each pair of addresses and reason, oldest first: 64 of an endpoint and 4,096 of all.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<DropRecord>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Those from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<DropRecord>> {
        self.live.subscribe()
    }

    /// A world at a time: its names hold until the next one is enforced.
    fn run(&self, mut reader: EventReader, status: &Receiver<Arc<Status>>) -> Result<()> {
        let nothing = (World::default(), NodeView::default(), Desired::default());
        while status.has_changed().is_ok() {
            let enforced = status.borrow().enforced.clone();
            let (world, node, desired) = match enforced.as_deref() {
                Some(Enforced { snapshot, node, compiled }) => (&snapshot.world, node, &compiled.desired),
                // Nobody has names yet: an earlier agent's programs drop.
                None => (&nothing.0, &nothing.1, &nothing.2),
            };
            let directory = Directory::new(world, node, desired)?;
            while is_current(enforced.as_ref(), status) {
                for event in reader.poll(PULSE)? {
                    match directory.enrich(&event) {
                        Ok(record) => self.add(event.endpoint, Arc::new(record)),
                        Err(error) => warn!("{error:#}"),
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&self, endpoint: u32, record: Arc<DropRecord>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(endpoint, Arc::clone(&record));
        // Nobody follows: that is no error.
        let _ = self.live.send(record);
    }
}

fn is_current(enforced: Option<&Arc<Enforced>>, status: &Receiver<Arc<Status>>) -> bool {
    let newest = status.borrow().enforced.clone();
    status.has_changed().is_ok() && newest.as_ref().map(Arc::as_ptr) == enforced.map(Arc::as_ptr)
}
