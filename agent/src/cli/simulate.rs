//! `bulkhead simulate`: what a change would do, before it is applied.

use std::collections::HashMap;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;
use policy::ask::{Difference, Said, Simulation};

use super::Paint;
use super::matrix::lines::{port_of, why};
use super::output::stream;
use super::query::QueryArgs;
use super::world::{Subject, WorldArgs, tell};
use crate::config::Settings;
use crate::ingest::{self, Assigned, Loaded, Manifests, ObjectId};
use crate::terminal::{Form, say};

/// Exits with 0 where no verdict would change, 1 where some would, 2 where that cannot be said.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    world: WorldArgs,
    /// Manifests to add, as with -f; an object of the same kind, namespace and name takes the place of the old one
    #[arg(long, value_name = "PATH", num_args = 1..)]
    add: Vec<PathBuf>,
    /// Object to take out: KIND/NAMESPACE/NAME, or KIND/NAME for what has no namespace
    #[arg(long, value_name = "OBJECT", num_args = 1..)]
    remove: Vec<ObjectId>,
    #[command(flatten)]
    asked: QueryArgs,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// A line for each verdict that would change, with what would decide
    #[default]
    Table,
    Json,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.add.is_empty() && args.remove.is_empty() {
        bail!("name what would change: objects with --add, or with --remove");
    }
    let (before, after) = load(args)?;
    let engines = (before.engine()?, after.engine_quietly()?);
    if let Some(namespace) = &args.asked.namespace {
        before.require_namespace(namespace).or_else(|error| after.require_namespace(namespace).map_err(|_| error))?;
    }
    let simulation = Simulation::new(&engines.0, &engines.1, &args.asked.query())?;
    for (pods, what) in [(&simulation.come, "new"), (&simulation.gone, "gone")] {
        if !pods.is_empty() {
            say(&format!("note: no verdict of theirs can change, because they would be {what}: {}", pods.join(", ")));
        }
    }
    let mut changed = 0;
    let differences = simulation.differences().inspect(|_| changed += 1);
    let form = if matches!(args.output, Output::Json) { Form::Json } else { Form::Text };
    stream(form, |out| match args.output {
        Output::Table => table(out, differences, simulation.has_both_families(), Paint::for_stdout()),
        Output::Json => json(out, differences),
    })?;
    Ok(if changed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The world as it is, and as it would be. Pods keep their addresses.
fn load(args: &Args) -> anyhow::Result<(Subject, Subject)> {
    let settings = args.world.settings.load()?;
    if args.world.files.is_empty() {
        return load_live(args, settings);
    }
    let is_stdin = |paths: &[PathBuf]| paths.iter().any(|path| path == Path::new("-"));
    if is_stdin(&args.world.files) && is_stdin(&args.add) {
        bail!("standard input can be read once: name a file for -f or for --add");
    }
    let mut manifests = Manifests::read(&args.world.files)?;
    let before = manifests.world(&Assigned::new())?;
    tell(&before);
    for object in &args.remove {
        if !manifests.remove(object) {
            bail!("--remove: there is no {object} in the manifests of -f");
        }
    }
    manifests.merge(Manifests::read(&args.add)?);
    let pods = before.world.pods.iter();
    let after = manifests.world(&pods.map(|(key, pod)| (key.clone(), pod.addresses.clone())).collect())?;
    after
        .warnings
        .iter()
        .filter(|warning| !before.warnings.contains(warning))
        .for_each(|it| say(&format!("warning: {it}")));
    Ok((Subject { loaded: before, settings: settings.clone() }, Subject { loaded: after, settings }))
}

/// The same, of a cluster.
fn load_live(args: &Args, settings: Settings) -> anyhow::Result<(Subject, Subject)> {
    let before = args.world.live(&settings)?;
    tell(&before);
    let mut world = before.world.clone();
    for object in &args.remove {
        if !ingest::remove(&mut world, object) {
            bail!("--remove: there is no {object} in the cluster");
        }
    }
    for warning in Manifests::read(&args.add)?.put_into(&mut world)? {
        say(&format!("warning: {warning}"));
    }
    let after = Loaded { world, ..Loaded::default() };
    Ok((Subject { loaded: before, settings: settings.clone() }, Subject { loaded: after, settings }))
}

/// One a line.
fn json(out: &mut dyn Write, differences: impl Iterator<Item = Difference>) -> Result<()> {
    write!(out, "{{\"kind\":\"Simulation\",\"changes\":[")?;
    for (number, difference) in differences.enumerate() {
        out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &difference)?;
    }
    writeln!(out, "]}}")
}

/// A line that two address families may share.
struct Line {
    cells: [String; 3],
    after: Said,
    why: String,
    v4: bool,
    v6: bool,
}

/// `families`: say which one changes, where it is one of two.
fn table(
    out: &mut dyn Write,
    differences: impl Iterator<Item = Difference>,
    families: bool,
    paint: Paint,
) -> Result<()> {
    let lines = lines(differences);
    let width = |column: usize, heading: &str| {
        lines.iter().map(|line| line.cells[column].len()).fold(heading.len(), usize::max)
    };
    let (from, to, port) = (width(0, "FROM"), width(1, "TO"), width(2, "PORT"));
    if !lines.is_empty() {
        let head = format!("{:from$}  {:to$}  {:port$}  BEFORE  AFTER  WHY", "FROM", "TO", "PORT");
        writeln!(out, "{}", paint.faint(&head))?;
    }
    for line in &lines {
        let [source, destination, on] = &line.cells;
        let verdicts = match line.after {
            Said::Allow => paint.green("drop    allow"),
            Said::Drop => paint.red("allow   drop "),
        };
        let family = match (line.v4, line.v6) {
            (true, false) if families => " (IPv4)",
            (false, true) if families => " (IPv6)",
            _ => "",
        };
        writeln!(out, "{source:from$}  {destination:to$}  {on:port$}  {verdicts}  {}{family}", line.why)?;
    }
    let opened = lines.iter().filter(|line| line.after == Said::Allow).count();
    match lines.len() {
        0 => writeln!(out, "No verdict would change."),
        total => writeln!(out, "\n{total} verdicts would change: {opened} opened, {} shut", total - opened),
    }
}

fn lines(differences: impl Iterator<Item = Difference>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut known: HashMap<([String; 3], Said, String), usize> = HashMap::new();
    for Difference { after, .. } in differences {
        let cells = [after.from.to_string(), after.to.to_string(), port_of(&after)];
        let why = why(&after);
        let place = *known.entry((cells.clone(), after.verdict, why.clone())).or_insert_with(|| {
            lines.push(Line { cells, after: after.verdict, why, v4: false, v6: false });
            lines.len() - 1
        });
        let line = &mut lines[place];
        *(if after.from_ip.is_ipv4() { &mut line.v4 } else { &mut line.v6 }) = true;
    }
    lines
}
