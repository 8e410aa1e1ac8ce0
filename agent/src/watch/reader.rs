//! Objects are read here: at once, or beside the loop where that takes long.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::model::{Config, TenantSource};
use tokio::task::spawn_blocking;

use super::Resource;
use super::entry::Entry;
use super::live::{Key, Object};

/// Reads objects, with the annotations that the configuration names.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    annotations: Arc<BTreeSet<String>>,
}

/// An object that was read, and the time that it took.
#[derive(Debug)]
pub(super) struct Read {
    pub key: Key,
    pub entry: Entry,
    pub time: Duration,
}

impl Reader {
    pub fn new(config: &Config) -> Self {
        let keys = config.sources.iter().filter_map(|source| match source {
            TenantSource::NamespaceAnnotation(key) => Some(key.clone()),
            _ => None,
        });
        Self { annotations: Arc::new(keys.collect()) }
    }

    pub fn read(&self, resource: Resource, object: Object) -> Read {
        self.time(|keeps| Entry::of(resource, object, keeps))
    }

    /// The same, cut where its kind can be.
    pub fn read_briefly(&self, resource: Resource, object: Object) -> Read {
        self.time(|keeps| Entry::brief(resource, object, keeps))
    }

    /// [`Self::read`] on a thread of its own, so that the caller goes on: an object of 1 MiB takes a tenth of a second on
    /// a busy node.
    pub async fn read_aside(self, resource: Resource, object: Object) -> Read {
        let failed = match spawn_blocking(move || self.read(resource, object)).await {
            Ok(read) => return read,
            Err(failed) => failed,
        };
        match failed.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    fn time(&self, read: impl FnOnce(&dyn Fn(&str) -> bool) -> (Key, Entry)) -> Read {
        let begin = Instant::now();
        let (key, entry) = read(&|annotation| self.annotations.contains(annotation));
        Read { key, entry, time: begin.elapsed() }
    }
}
