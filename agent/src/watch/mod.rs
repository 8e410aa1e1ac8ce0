//! The API server's objects as one [`World`] that follows them (DESIGN.md §4, missing knowledge).
//!
//! Nothing is published before every resource has been listed once; from then on a world is published whenever policy
//! would see a difference. A list that is taken again takes the old one's place as a whole, and while a resource cannot
//! be reached its last state stays.

mod access;
mod aside;
mod board;
mod entry;
mod fetch;
mod fields;
mod follow;
mod items;
mod list;
mod live;
mod memory;
mod pace;
mod paged;
mod pods;
mod problem;
mod reader;
mod resource;
mod shares;
mod stand_in;
mod store;
mod stream;
mod traffic;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::model::{Config, World};
use tokio::sync::watch::{self, Receiver};
use tokio::task::AbortHandle;

pub use access::{Access, Cluster};
pub use list::list;
pub use resource::Resource;
pub use shares::Share;

use self::board::Board;
use self::follow::{Follower, Work};
use self::memory::Memory;
use self::store::Store;
use self::traffic::Traffic;
use crate::ingest::{Kind, ObjectId};

/// A world, as the API server had it at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub world: World,
    /// Objects that the API server holds and that cannot be understood. Those that restrict traffic are in the world
    /// as values that fail closed.
    pub rejected: Vec<Rejected>,
    /// When the oldest event arrived that no earlier snapshot has: the start of the time that it takes to enforce it.
    pub received: Instant,
}

/// Why an object is not taken as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub object: ObjectId,
    /// The object's `metadata.uid`, for Events about it.
    pub uid: String,
    /// Path of the field, as in `spec.ingress[0].ports[1].port`; empty for the whole object.
    pub field: String,
    /// What is wrong and what to write instead.
    pub problem: String,
    /// What holds until somebody does.
    pub effect: &'static str,
    /// How many more of its kind and namespace are not taken as they stand and not named.
    pub others: usize,
}

impl Snapshot {
    /// How many objects of a kind are not taken as they stand.
    #[must_use]
    pub fn rejected_of(&self, kind: Kind) -> usize {
        let rejected = self.rejected.iter().filter(|rejected| rejected.object.kind == kind);
        let named: BTreeSet<&ObjectId> = rejected.clone().map(|rejected| &rejected.object).collect();
        named.len() + rejected.map(|rejected| rejected.others).sum::<usize>()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field, problem, effect, others, .. } = self;
        write!(f, "{object}: ")?;
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        write!(f, "{problem}; {effect}")?;
        if *others > 0 { write!(f, " ({others} more of its namespace)") } else { Ok(()) }
    }
}

/// The cluster as it is followed, for as long as this value lives.
#[derive(Debug)]
pub struct Watch {
    snapshots: Receiver<Option<Arc<Snapshot>>>,
    board: Arc<Board>,
    traffic: Arc<Traffic>,
    work: Arc<Work>,
    task: AbortHandle,
}

impl Watch {
    /// The newest snapshot; `None` until every resource has been listed once. The channel ends with this value.
    #[must_use]
    pub fn snapshots(&self) -> Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// What keeps the first snapshot back, and what to do about it: empty once there is one.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.board.missing()
    }

    /// How long ago each resource was last heard of: an event, a bookmark, a list. From the start of the watch where
    /// it never was.
    #[must_use]
    pub fn ages(&self) -> Vec<(Resource, Duration)> {
        Resource::ALL.into_iter().map(|resource| (resource, self.traffic.age(resource))).collect()
    }

    /// Tells what it costs to enforce a world: who changes things all the time waits accordingly.
    pub fn worked(&self, time: Duration) {
        self.work.set(time);
    }

    /// How many bytes came of each resource.
    #[must_use]
    pub fn bytes(&self) -> Vec<(Resource, u64)> {
        Resource::ALL.into_iter().map(|resource| (resource, self.traffic.bytes(resource))).collect()
    }
}

/// Follows the cluster, on the current tokio runtime. Annotations that neither this program nor `config` reads are not
/// kept. `memory` is a file that says which resources have objects: one of them that is not served after a restart is
/// waited for instead of being taken as empty.
#[must_use]
pub fn start(cluster: &Cluster, config: &Config, memory: Option<PathBuf>) -> Watch {
    let traffic = Arc::clone(&cluster.traffic);
    let board = Arc::new(Board::new());
    let (sender, snapshots) = watch::channel(None);
    let (store, memory) = (Store::new(config), Memory::load(memory));
    let follower = Follower::new(store, memory, Arc::clone(&board), Arc::clone(&traffic), sender);
    let work = follower.work();
    let task = tokio::spawn(follower.run(cluster.client())).abort_handle();
    Watch { snapshots, board, traffic, work, task }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
