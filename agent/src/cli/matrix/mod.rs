//! `bulkhead matrix`: who reaches whom.

pub(super) mod lines;
mod table;
mod tally;

use std::io::{Result, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use policy::ask::Matrix;

use super::output::stream;
use super::query::QueryArgs;
use super::{Paint, WorldArgs};
use crate::terminal::Form;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    asked: QueryArgs,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// Sources down, destinations across, a mark for each verdict
    #[default]
    Table,
    /// A line for each verdict, with the reason and the rules that decided
    Wide,
    Json,
    Csv,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = args.world.load()?;
    let engine = subject.engine()?;
    if let Some(namespace) = &args.asked.namespace {
        subject.require_namespace(namespace)?;
    }
    let matrix = engine.matrix(&args.asked.query())?;
    let paint = Paint::for_stdout();
    let form = if matches!(args.output, Output::Json) { Form::Json } else { Form::Text };
    stream(form, |out| match args.output {
        Output::Table => table::write(out, &matrix, paint),
        Output::Wide => lines::wide(out, &matrix, paint),
        Output::Json => json(out, &matrix),
        Output::Csv => lines::csv(out, &matrix),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A record a line.
fn json(out: &mut dyn Write, matrix: &Matrix<'_>) -> Result<()> {
    write!(out, "{{\"kind\":\"Matrix\",\"verdicts\":[")?;
    for (number, record) in matrix.records().enumerate() {
        out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &record)?;
    }
    writeln!(out, "]}}")
}
