//! The command line: what was asked for, and the exit code that answers (0 yes, 1 no, 2 an error).

mod agent;
mod cni;
mod completion;
mod explain;
mod lab;
mod matrix;
mod node;
mod output;
mod paint;
mod policy;
mod prepare;
mod query;
mod settings;
mod simulate;
mod world;
mod wrap;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::terminal::say;

pub use output::{print, print_json};
pub use paint::Paint;
pub use policy::MANIFEST_RULE;
pub use settings::SettingsArgs;
pub use world::{Subject, WorldArgs, tell};

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
    /// Print who reaches whom, on which ports, and what drops the rest
    Matrix(matrix::Args),
    /// Say why a flow passes or not, step by step, and what would have to change
    Explain(explain::Args),
    /// Print every verdict that a change of objects would change, before it is applied
    Simulate(simulate::Args),
    /// Check and write policies
    Policy(policy::Args),
    /// Print a shell's completion script
    Completion(completion::Args),
    /// Pods as network namespaces on this machine, with real packets
    Lab(lab::Args),
    /// Enforce on this node of a cluster, until it is told to end and after
    Agent(agent::Args),
    /// Say whether this node is enforced, and what is missing
    Status(node::StatusArgs),
    /// List the pods' veths of this node
    Endpoints(node::Args),
    /// List the tenants, as this node sees them
    Tenants(node::Args),
    /// Show what this node dropped, and why
    Drops(node::DropsArgs),
    /// Show which drops happen now, the most frequent first
    Top(node::TopArgs),
    /// List everything that the kernel of this node holds
    Dump(node::Args),
    /// Print this node's metrics
    Metrics(node::MetricsArgs),
    /// Mount what the agent needs on this node; for an init container, which may
    PrepareNode(prepare::Args),
    /// The chained CNI plugin: a pod starts when it is enforced (called by container runtimes)
    Cni(cni::Args),
    /// Take off this node everything that the agent put on it
    Uninstall(agent::UninstallArgs),
}

/// Every command with its flags, as clap knows them.
#[must_use]
pub fn commands() -> clap::Command {
    Cli::command()
}

/// Runtimes start a CNI plugin by the name of its type, without arguments: by that name this is one.
fn called_as_plugin() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.is_some_and(|path| path.file_name().is_some_and(|name| name == crate::cni::PLUGIN))
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command } = if called_as_plugin() { Cli { command: Command::Cni(cni::Args {}) } } else { Cli::parse() };
    let answer = match command {
        Command::Matrix(args) => matrix::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Completion(args) => completion::run(&args),
        Command::Lab(args) => lab::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Status(args) => node::status(&args),
        Command::Endpoints(args) => node::show("/endpoints", &args),
        Command::Tenants(args) => node::show("/tenants", &args),
        Command::Drops(args) => node::drops(&args),
        Command::Top(args) => node::top(&args),
        Command::Dump(args) => node::show("/dump", &args),
        Command::Metrics(args) => node::metrics(&args),
        Command::PrepareNode(args) => prepare::run(&args),
        Command::Cni(args) => cni::run(&args),
        Command::Uninstall(args) => agent::remove(&args),
    };
    answer.unwrap_or_else(|error| {
        say(&format!("bulkhead: {error:#}"));
        ExitCode::from(FAILED)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_needs_its_node_and_the_plugins_folders_come_together() {
        let agent = |flags: &[&str]| Cli::try_parse_from([&["bulkhead", "agent", "--node-name", "n1"], flags].concat());
        agent(&[]).expect("without the plugin");
        agent(&["--cni-conf-dir", "/a", "--cni-bin-dir", "/b"]).expect("with the plugin");
        agent(&["--cni-conf-dir", "/a"]).expect_err("half of it");
        Cli::try_parse_from(["bulkhead", "uninstall"]).expect("without the plugin");
    }
}
