//! Taking the agent off a node.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::kernel::{Pins, destroy};

/// Takes the programs off every veth, and removes pins and state: what is the agent's and nothing else. Call it in the
/// node's network namespace. Nothing there, or half of it, is no error.
///
/// # Errors
/// The kernel refuses, or a file cannot be removed; a second call goes on from there.
pub fn uninstall(pins: &Pins, state: &Path) -> Result<()> {
    destroy(pins)?;
    match fs::remove_dir_all(state) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", state.display()))
        }
        _ => Ok(()),
    }
}
