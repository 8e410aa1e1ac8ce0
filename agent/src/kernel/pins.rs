//! Where the datapath lives on the BPF file system (CONTRACT.md §6): `links/` and one folder of maps a version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where every distribution mounts the BPF file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The folder of one datapath: the agent's, or a lab's. Two datapaths never share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
    remedy: String,
}

impl Pins {
    /// `/sys/fs/bpf/bulkhead`.
    #[must_use]
    pub fn agent() -> Self {
        Self { root: Path::new(BPFFS).join("bulkhead"), remedy: "bulkhead uninstall".to_owned() }
    }

    /// `/sys/fs/bpf/bulkhead-lab-NAME`.
    ///
    /// # Errors
    /// The name cannot be part of a file name.
    pub fn lab(name: &str) -> Result<Self> {
        // bpffs takes no dots in names.
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        ensure!(plain, "{name:?} cannot name a lab: use letters, digits, `-` and `_`");
        Ok(Self {
            root: Path::new(BPFFS).join(format!("bulkhead-lab-{name}")),
            remedy: format!("bulkhead lab down --name {name}"),
        })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The command that removes this datapath, for error messages.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// The pinned links.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// The maps of this version of the layouts.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.root.join(format!("v{}", common::abi::VERSION))
    }

    /// True where some of it is there.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.root.exists()
    }

    /// Creates the folders that are not there yet.
    pub(super) fn create(&self) -> Result<()> {
        for folder in [self.links(), self.maps()] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(())
    }

    /// Removes the folders with the pins in them. What is pinned nowhere else is gone with them. Nothing there, or
    /// half of it, is no error.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.root.display()))
            }
            _ => Ok(()),
        }
    }
}
