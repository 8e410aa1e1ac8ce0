//! How far each resource is: what /readyz says, and why nothing is published yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Resource;

/// How far a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not listed yet, and what the API server said last, if anything.
    Waiting(Option<String>),
    Listed,
    /// Never served: there are no objects until the API server knows the kind.
    Absent,
}

/// The progress of every resource.
#[derive(Debug)]
pub(super) struct Board(Mutex<BTreeMap<Resource, Progress>>);

impl Board {
    pub fn new() -> Self {
        Self(Mutex::new(Resource::ALL.into_iter().map(|resource| (resource, Progress::Waiting(None))).collect()))
    }

    pub fn get(&self, resource: Resource) -> Progress {
        self.lines().get(&resource).cloned().unwrap_or(Progress::Waiting(None))
    }

    pub fn set(&self, resource: Resource, progress: Progress) {
        self.lines().insert(resource, progress);
    }

    pub fn is_complete(&self) -> bool {
        self.lines().values().all(|progress| !matches!(progress, Progress::Waiting(_)))
    }

    /// A line for each resource that is waited for.
    pub fn missing(&self) -> Vec<String> {
        let lines = self.lines();
        let waiting = lines.iter().filter_map(|(resource, progress)| match progress {
            Progress::Waiting(None) => Some(format!("{resource} have not been listed yet")),
            Progress::Waiting(Some(problem)) => Some(format!("{resource} cannot be listed: {problem}")),
            Progress::Listed | Progress::Absent => None,
        });
        waiting.collect()
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Resource, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
