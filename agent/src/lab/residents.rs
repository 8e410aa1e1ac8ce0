//! The processes inside a pod: they end with it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::net::NetNs;

/// Kills every process whose network namespace is this one, but not the caller.
///
/// # Errors
/// /proc cannot be read, or a process cannot be killed.
pub fn end(namespace: &NetNs) -> Result<()> {
    let inside =
        identity(namespace.path()).with_context(|| format!("cannot look at {}", namespace.path().display()))?;
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let entry = entry.context("cannot read /proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == Pid::this().as_raw() {
            continue;
        }
        // A process that ends meanwhile is no error.
        if identity(&entry.path().join("ns/net")).is_ok_and(|found| found == inside) {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot end the process {pid}")),
            }
        }
    }
    Ok(())
}

/// A namespace is known by device and inode.
fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
