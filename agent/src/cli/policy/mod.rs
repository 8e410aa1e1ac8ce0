//! `bulkhead policy`: policies themselves, checked and written.

mod lint;
mod template;

use std::process::ExitCode;

use clap::Subcommand;

pub use lint::MANIFEST_RULE;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find what policies do not do that they look like
    Lint(lint::Args),
    /// Write a policy that most tenants need, as YAML
    Template(template::Args),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Lint(args) => lint::run(args),
        Command::Template(args) => template::run(args),
    }
}
