//! Taking the agent off a node.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::kernel::{Pins, destroy};

/// Takes the programs off every veth, and removes pins and the folders of what is remembered: what is the agent's and
/// nothing else. Call it in the node's network namespace. Nothing there, or half of it, is no error.
///
/// # Errors
/// The kernel refuses, or a file cannot be removed; a second call goes on from there.
pub fn uninstall(pins: &Pins, folders: &[&Path]) -> Result<()> {
    destroy(pins)?;
    for folder in folders {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
