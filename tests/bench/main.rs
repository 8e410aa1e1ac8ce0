//! The benchmarks: what the datapath and the compiler cost, beside the budgets of DESIGN.md §10. Run them with
//! `cargo xtask bench`.

mod ask;
#[path = "../../policy/benches/world.rs"]
mod cluster;
mod compile;
mod empty;
mod frames;
mod kernel;
mod netfilter;
mod programs;
mod report;
mod sample;
mod wire;
mod worlds;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Measures the datapath and the compiler against their budgets.
#[derive(Debug, Parser)]
struct Options {
    /// Only these parts; all without it.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of each part, of which the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Of the programs only the cases whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// One round: shows that everything runs, measures nothing well.
    #[arg(long)]
    quick: bool,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench/bench.json")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The programs alone (BPF_PROG_TEST_RUN).
    Program,
    /// Traffic through veths.
    Wire,
    /// The program behind the node's rewriting, on traffic through veths.
    Netfilter,
    /// A full compile.
    Compile,
    /// `matrix`, `explain` and `simulate`.
    Ask,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let wanted = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut rows = Vec::new();
    if wanted(Part::Compile) {
        rows.extend(compile::run(rounds)?);
    }
    if wanted(Part::Ask) {
        rows.extend(ask::run(rounds)?);
    }
    if wanted(Part::Program) {
        rows.extend(programs::run(rounds, &options.only)?);
    }
    if wanted(Part::Wire) {
        rows.extend(wire::run(rounds)?);
    }
    if wanted(Part::Netfilter) {
        rows.extend(netfilter::run(rounds)?);
    }
    report::finish(&rows, &options.output)
}
