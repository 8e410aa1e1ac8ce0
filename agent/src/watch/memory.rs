//! Which resources have objects, across restarts: without it, a kind that is not served just when the agent starts
//! would look like one that nobody has, and what its objects forbid would be opened.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use tracing::warn;

use super::Resource;
use crate::files;

/// What a file remembers.
#[derive(Debug)]
pub(super) struct Memory {
    path: Option<PathBuf>,
    /// Plural names.
    filled: BTreeSet<String>,
}

impl Memory {
    /// Without a path nothing is remembered.
    pub fn load(path: Option<PathBuf>) -> Self {
        let text = path.as_ref().map(std::fs::read);
        let filled = match text {
            None => BTreeSet::new(),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Some(text) => text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_else(|| {
                // Better to wait for a kind that nobody has than to open what it forbids.
                warn!(file = ?path, "cannot be read: every resource is waited for; delete the file to go on without");
                Resource::ALL.map(|resource| resource.plural().to_owned()).into()
            }),
        };
        Self { path, filled }
    }

    /// Why the resource is waited for although it is not served, if it had objects when it was last seen.
    pub fn misses(&self, resource: Resource) -> Option<String> {
        let path = self.path.as_ref().filter(|_| self.filled.contains(resource.plural()))?;
        Some(format!(
            "there were some before the agent was restarted, and the API server does not serve them now: install their \
             CustomResourceDefinition again or, where they are gone for good, delete {} and restart the agent",
            path.display()
        ))
    }

    /// Remembers the resources that have objects now.
    pub fn keep(&mut self, filled: impl Iterator<Item = Resource>) {
        let filled: BTreeSet<String> = filled.map(|resource| resource.plural().to_owned()).collect();
        if filled == self.filled {
            return;
        }
        self.filled = filled;
        let Some(path) = &self.path else { return };
        let written = serde_json::to_vec(&self.filled).map_err(Into::into).and_then(|text| files::replace(path, &text));
        if let Err(error) = written {
            warn!(error = format!("{error:#}"), "a restart may take resources that are not served for empty");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_objects_is_missed_after_a_restart_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("served.json");
        let mut memory = Memory::load(Some(path.clone()));
        assert_eq!(memory.misses(Resource::Tenants), None);
        memory.keep([Resource::Pods, Resource::Tenants].into_iter());
        let memory = Memory::load(Some(path.clone()));
        assert!(memory.misses(Resource::Tenants).unwrap().contains("served.json"));
        assert_eq!(memory.misses(Resource::ClusterNetworkPolicies), None);
        std::fs::write(&path, "[").unwrap();
        assert!(Memory::load(Some(path)).misses(Resource::ClusterNetworkPolicies).is_some());
    }
}
