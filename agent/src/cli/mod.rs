//! The command line: what was asked for, and the exit code that answers (0 yes, 1 no, 2 an error).

mod completion;
mod output;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use output::print;
pub use settings::SettingsArgs;

/// Exit code for whatever kept a command from answering.
const FAILED: u8 = 2;

/// Watertight compartments for Kubernetes tenants.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a shell's completion script
    Completion(completion::Args),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let answer = match command {
        Command::Completion(args) => completion::run(&args),
    };
    answer.unwrap_or_else(|error| {
        eprintln!("bulkhead: {error:#}");
        ExitCode::from(FAILED)
    })
}
