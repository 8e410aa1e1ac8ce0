//! `bulkhead policy lint`: what somebody should look at.

use std::fmt::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use policy::ask::{Engine, LintFinding, Severity};
use policy::model::World;
use serde::Serialize;

use crate::cli::wrap::wrap;
use crate::cli::{Paint, WorldArgs, print, print_json};
use crate::config::Settings;
use crate::ingest::{self, IngestError, Survey};
use crate::watch::Rejected;

/// The rule that what ingest says goes under, and what it is about.
pub const MANIFEST_RULE: (&str, &str) = (
    "manifest",
    "An object that is refused (an endPort below its port, an unknown field, an invalid selector, …: errors), or that \
     is odd (a CIDR with host bits, a rule that policyTypes makes void, …: warnings).",
);

/// Exits with 0 where nothing is an error, 1 where something is, 2 where the files cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    world: WorldArgs,
    /// Only findings about objects of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Serialize)]
#[serde(tag = "kind")]
struct Lint {
    findings: Vec<LintFinding>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.world.settings.load()?;
    let (world, mut findings) = read(args, &settings)?;
    findings.extend(Engine::new(&world, &settings.policy)?.lint(&settings.policy));
    if let Some(namespace) = &args.namespace {
        findings.retain(|finding| is_in(namespace, &finding.object));
    }
    findings.sort();
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    match args.output {
        Output::Text => print(text(&findings, Paint::for_stdout())),
        Output::Json => print_json(&Lint { findings }),
    }?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The world, and what is odd about the objects in it.
fn read(args: &Args, settings: &Settings) -> anyhow::Result<(World, Vec<LintFinding>)> {
    if args.world.files.is_empty() {
        let (world, rejected) = args.world.list(settings)?;
        return Ok((world, rejected.into_iter().map(of_cluster).collect()));
    }
    let Survey { loaded, refused } = ingest::survey(&args.world.files)?;
    let refused = refused.iter().map(|error| of_manifest(error, Severity::Error));
    let odd = loaded.warnings.iter().map(|warning| of_manifest(warning, Severity::Warning));
    Ok((loaded.world, refused.chain(odd).collect()))
}

fn of_cluster(rejected: Rejected) -> LintFinding {
    let Rejected { object, field, problem, effect, .. } = rejected;
    LintFinding {
        object: object.path(),
        field,
        severity: Severity::Error,
        rule: MANIFEST_RULE.0,
        message: problem,
        remedy: format!("correct the field; {effect}"),
    }
}

fn of_manifest(problem: &IngestError, severity: Severity) -> LintFinding {
    let IngestError { place, object, field, problem } = problem;
    let object = object.as_deref().unwrap_or_default();
    let object =
        object.split_once(' ').map_or(object.to_lowercase(), |(kind, name)| format!("{}/{name}", kind.to_lowercase()));
    let remedy = match severity {
        Severity::Error => "correct the field: the object is refused as it is",
        Severity::Warning | Severity::Note => "write what is meant",
    };
    LintFinding {
        object,
        field: field.clone().unwrap_or_default(),
        severity,
        rule: MANIFEST_RULE.0,
        message: format!("{problem} ({place})"),
        remedy: remedy.to_owned(),
    }
}

fn is_in(namespace: &str, object: &str) -> bool {
    match object.split('/').collect::<Vec<_>>()[..] {
        [_, own, _] | ["namespace", own] => own == namespace,
        _ => false,
    }
}

fn text(findings: &[LintFinding], paint: Paint) -> String {
    let mut text = String::new();
    for LintFinding { object, field, severity, rule, message, remedy } in findings {
        let severity = match severity {
            Severity::Error => paint.red(severity.name()),
            Severity::Warning => paint.yellow(severity.name()),
            Severity::Note => paint.faint(severity.name()),
        };
        let _ = writeln!(text, "{severity}: {} {field} {}", paint.bold(object), paint.faint(&format!("[{rule}]")));
        let _ = writeln!(text, "{}", wrap(&format!("  {message}"), 2));
        let _ = writeln!(text, "{}\n", paint.faint(&wrap(&format!("  → {remedy}"), 4)));
    }
    text + &sum(findings)
}

/// `1 error, 2 warnings`
fn sum(findings: &[LintFinding]) -> String {
    let counts = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let number = findings.iter().filter(|finding| finding.severity == severity).count();
        (number, severity.name())
    });
    let counts = counts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> =
        counts.map(|(number, name)| format!("{number} {name}{}", if *number == 1 { "" } else { "s" })).collect();
    if parts.is_empty() { "no findings\n".to_owned() } else { parts.join(", ") + "\n" }
}
