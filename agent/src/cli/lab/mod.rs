//! `bulkhead lab`: pods as network namespaces on this machine.

mod listing;
mod report;
mod step;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use indicatif::ProgressBar;
use policy::ask::FlowPort;
use policy::model::PodKey;

use super::{Paint, SettingsArgs, print, print_json};
use crate::ingest::{Manifests, ObjectId};
use crate::lab::tutorial::{self, Scene};
use crate::lab::{self, Cni, Interrupt, Lab, LabName, UpOptions};
use crate::terminal::say;

/// Exit codes of shells for a command that is not there, and for one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which lab: several may be up side by side
    #[arg(long, global = true, default_value = "lab", value_name = "NAME")]
    name: LabName,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a lab up
    Up(UpArgs),
    /// Add objects to a lab that is up, or change them
    Apply(FileArgs),
    /// Take objects out of a lab
    Delete {
        /// KIND/NAMESPACE/NAME, or KIND/NAME for what has no namespace
        #[arg(required = true, value_name = "OBJECT")]
        objects: Vec<ObjectId>,
    },
    /// Run a command in a pod's network
    Exec {
        /// Whose network: NAMESPACE/POD
        #[arg(value_parser = parse_pod)]
        pod: PodKey,
        /// What to run, as this user and with these files
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// List the pods of a lab
    Ps {
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Send real packets for every pair and port, and compare with the model
    Check(CheckArgs),
    /// Remove a lab, whatever is left of it
    Down,
    /// Walk through a folder of steps: apply, check and explain each
    Tutorial {
        /// Folder with a folder for each step, taken in the order of their names
        #[arg(default_value = "examples/tutorial", value_name = "FOLDER")]
        folder: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Bring a lab up, check it, and remove it again
    Run {
        #[command(flatten)]
        up: UpArgs,
        #[command(flatten)]
        check: CheckArgs,
    },
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// Manifests: a file, a folder (read recursively for .yaml, .yml and .json) or -; may be repeated
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct UpArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// What a lab is made from, beside its objects.
#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// How pods are wired to their node
    #[arg(long, default_value = "ptp")]
    cni: Cni,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address outside the cluster that the lab's world owns; may be repeated
    #[arg(long, value_name = "IP")]
    external: Vec<IpAddr>,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Port to try: tcp/80, udp/53, sctp/7777, icmp; may be repeated [default: every port that a container declares or
    /// a policy names, and one that none does]
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<FlowPort>,
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let Args { name, command } = args;
    match command {
        Command::Up(args) => up(&name, &args, &Interrupt::catch()?).map(drop)?,
        Command::Apply(FileArgs { files }) => {
            let manifests = Manifests::read(&files)?;
            let _progress = spinner("applying");
            Lab::open(&name)?.apply(manifests)?;
        }
        Command::Delete { objects } => {
            let _progress = spinner("deleting");
            Lab::open(&name)?.delete(&objects)?;
        }
        Command::Exec { pod, command } => return exec(&name, &pod, &command),
        Command::Ps { output } => list(&name, output)?,
        Command::Check(args) => return check(&Lab::open(&name)?, &args, &Interrupt::catch()?),
        Command::Down => Lab::down(&name)?,
        Command::Tutorial { folder, node } => {
            let steps = tutorial::steps(&folder)?;
            let differences = tutorial::walk(&name, &steps, &node.options(), |scene| {
                print(match scene {
                    Scene::Step(step, manifests) => step::introduction(step, manifests, Paint::for_stdout()),
                    Scene::Checked(report) => report::table(report, Paint::for_stdout()),
                })
            })?;
            return Ok(agreement(differences));
        }
        Command::Run { up, check } => return try_out(&name, &up, &check),
    }
    Ok(ExitCode::SUCCESS)
}

/// A lab that is interrupted while it comes up is taken down again.
fn up(name: &LabName, args: &UpArgs, interrupt: &Interrupt) -> Result<Lab> {
    let manifests = Manifests::read(&args.files.files)?;
    let _progress = spinner("bringing the lab up");
    let lab = Lab::up(name, manifests, &args.node.options())?;
    match interrupt.check() {
        Ok(()) => Ok(lab),
        Err(error) => lab.remove().and(Err(error)),
    }
}

impl NodeArgs {
    fn options(&self) -> UpOptions {
        let Self { cni, settings: SettingsArgs { config, tenancy }, external } = self;
        UpOptions { cni: *cni, config: config.clone(), tenancy: *tenancy, external: external.clone() }
    }
}

/// Returns only where the command cannot be started: then as a shell does.
fn exec(name: &LabName, pod: &PodKey, command: &[OsString]) -> Result<ExitCode> {
    let error = match lab::exec(&Lab::open(name)?, pod, command) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let code = match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => NOT_FOUND,
        Some(_) => NOT_RUNNABLE,
        None => return Err(error),
    };
    say(&format!("bulkhead: {error:#}"));
    Ok(ExitCode::from(code))
}

fn list(name: &LabName, output: Output) -> Result<()> {
    let listing = Lab::open(name)?.list()?;
    match output {
        Output::Table => print(listing::table(&listing)),
        Output::Json => print_json(&listing),
    }
}

/// Exit code 1 where the kernel and the model differ.
fn check(lab: &Lab, args: &CheckArgs, interrupt: &Interrupt) -> Result<ExitCode> {
    let progress = spinner("sending packets");
    let report = lab.check(&args.ports, || interrupt.check())?;
    progress.finish_and_clear();
    match args.output {
        Output::Table => print(report::table(&report, Paint::for_stdout()))?,
        Output::Json => print_json(&report)?,
    }
    Ok(agreement(report.differences()))
}

/// 1 where the kernel and the model differ.
fn agreement(differences: usize) -> ExitCode {
    if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Up, check, down; down whatever happens.
fn try_out(name: &LabName, args: &UpArgs, checked: &CheckArgs) -> Result<ExitCode> {
    let interrupt = Interrupt::catch()?;
    let lab = up(name, args, &interrupt)?;
    let answer = check(&lab, checked, &interrupt);
    let removed = lab.remove();
    let answer = answer?;
    removed.map(|()| answer)
}

fn parse_pod(text: &str) -> Result<PodKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(PodKey { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("write it as NAMESPACE/POD".to_owned()),
    }
}

/// Shows that something is going on, on a terminal; it goes away when dropped.
fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what).with_finish(indicatif::ProgressFinish::AndClear);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}
