//! Where the datapath lives on the BPF file system (CONTRACT.md §6): `links/` and one folder of maps a version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use common::abi;

/// Where every distribution mounts the BPF file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The folder of one datapath: the agent's, or a lab's. Two datapaths never share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
    remedy: String,
    version: u32,
}

impl Pins {
    /// `/sys/fs/bpf/bulkhead`.
    #[must_use]
    pub fn agent() -> Self {
        Self { root: Path::new(BPFFS).join("bulkhead"), remedy: "bulkhead uninstall".to_owned(), version: abi::VERSION }
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
            version: abi::VERSION,
        })
    }

    /// The same datapath as an agent of another version of the layouts has it.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
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
        self.root.join(format!("v{}", self.version))
    }

    /// The maps of other versions: their agents' programs may still be on the veths.
    pub(super) fn others(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", self.root.display()))?,
        };
        let mut others = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", self.root.display()))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('v'));
            if name.is_some_and(|version| version.parse::<u32>().is_ok()) && path != self.maps() {
                others.push(path);
            }
        }
        Ok(others)
    }

    /// A folder that says which layout the table of flows has that is pinned beside it.
    pub(super) fn flow_layout(maps: &Path) -> PathBuf {
        maps.join(format!("flow-layout-{}", abi::FLOW_LAYOUT))
    }

    /// True where some of it is there.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.root.exists()
    }

    /// Creates the folders that are not there yet.
    pub(super) fn create(&self) -> Result<()> {
        for folder in [self.links(), Self::flow_layout(&self.maps())] {
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
