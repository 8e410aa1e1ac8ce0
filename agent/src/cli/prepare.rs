//! `bulkhead prepare-node`: what the agent needs of its node and may not do itself, for a privileged init container.

use std::process::ExitCode;

use anyhow::Result;

use crate::kernel::mount_bpffs;
use crate::terminal::say;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: &Args) -> Result<ExitCode> {
    let done = if mount_bpffs()? { "has been mounted" } else { "was mounted already" };
    say(&format!("the BPF file system {done}"));
    Ok(ExitCode::SUCCESS)
}
