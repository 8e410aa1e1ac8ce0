//! A lab's name, and every name that follows from it: namespaces, pins, files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use policy::model::PodKey;

use crate::files::RUN;
use crate::kernel::Pins;
use crate::lock::Lock;

/// Where network namespaces have their names.
const NETNS: &str = "/run/netns";
/// What a file name may have.
const LONGEST_FILE_NAME: usize = 255;

/// The name of a lab: lower-case letters, digits and dashes, at most 32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabName(String);

impl FromStr for LabName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 32 || !text.chars().all(plain) {
            return Err("use at most 32 lower-case letters, digits and dashes".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for LabName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl LabName {
    #[must_use]
    pub fn node(&self) -> String {
        format!("bulkhead-{self}-node")
    }

    #[must_use]
    pub fn world(&self) -> String {
        format!("bulkhead-{self}-world")
    }

    /// The dots keep it apart from every other lab's names: neither labs nor namespaces have one.
    ///
    /// # Errors
    /// It would be longer than a file name may be.
    pub fn pod(&self, pod: &PodKey) -> Result<String> {
        let name = format!("{}{}.{}", self.pod_prefix(), pod.namespace, pod.name);
        let room = LONGEST_FILE_NAME - (name.len() - pod.name.len());
        ensure!(
            name.len() <= LONGEST_FILE_NAME,
            "pod {pod}: the lab has room for {room} characters of metadata.name: choose a shorter one"
        );
        Ok(name)
    }

    fn pod_prefix(&self) -> String {
        format!("bulkhead-{self}.")
    }

    /// The lab's network namespaces that exist, whatever its state says.
    ///
    /// # Errors
    /// The folder of names cannot be read.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let folder = Path::new(NETNS);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in folder.read_dir().with_context(|| format!("cannot read {NETNS}"))? {
            let name = entry.with_context(|| format!("cannot read {NETNS}"))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name == self.node() || name == self.world() || name.starts_with(&self.pod_prefix()) {
                found.push(name.to_owned());
            }
        }
        Ok(found)
    }

    /// # Errors
    /// Never, for a name that was parsed.
    pub fn pins(&self) -> Result<Pins> {
        Pins::lab(&self.0)
    }

    /// The folder of the lab's state.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        Path::new(RUN).join(format!("lab-{self}"))
    }

    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        Path::new(RUN).join(format!("lab-{self}.lock"))
    }

    /// Held by a command while it works on the lab: waits until no other does.
    ///
    /// # Errors
    /// The caller is not root.
    pub fn lock(&self) -> Result<Lock> {
        Lock::take(self.lock_file(), &format!("another command is working on the lab {self}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_labs_share_a_name() {
        let [a, b] = ["a", "a-b"].map(|name| LabName::from_str(name).expect("a valid name"));
        let pod = |namespace: &str| PodKey { namespace: namespace.to_owned(), name: "p".to_owned() };
        let names = [a.pod(&pod("b-c")), b.pod(&pod("c"))].map(|name| name.expect("a short name"));
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn a_name_is_part_of_file_names() {
        for bad in ["", "a.b", "a/b", "A", "a b", "123456789012345678901234567890123"] {
            assert!(LabName::from_str(bad).is_err(), "{bad}");
        }
    }
}
