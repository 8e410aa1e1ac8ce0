//! `bulkhead completion`: completion scripts for shells.

use std::process::ExitCode;

use clap_complete::Shell;

use super::{commands, print};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose script
    shell: Shell,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut commands(), "bulkhead", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
