//! One process at a time works on a datapath: on a lab one command, on a node one agent.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::terminal::say;

/// The lock of the one agent of a node, below [`crate::files::RUN`].
pub const NODE_LOCK: &str = "node.lock";

/// True while a process holds the lock of that file.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Held while a process works; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits until no other process holds the lock of that file. `holder` says who that may be.
    ///
    /// # Errors
    /// The file cannot be created: the caller is not root.
    pub fn take(path: PathBuf, holder: &str) -> Result<Self> {
        let complain = || format!("cannot lock {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(complain)?;
        }
        loop {
            let file = File::options().create(true).write(true).truncate(false).open(&path).with_context(complain)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    say(&format!("bulkhead: {holder}; waiting for it"));
                    file.lock().with_context(complain)?;
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(complain),
            }
            // Whoever held it may have removed the file: then this one is nobody's.
            let held = file.metadata().with_context(complain)?.ino();
            match fs::metadata(&path) {
                Ok(found) if found.ino() == held => return Ok(Self { path, _file: file }),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(complain),
                _ => {}
            }
        }
    }

    /// Removes the file: what it stood for is no more.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}
