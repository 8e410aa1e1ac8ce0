//! `cargo xtask bench`: runs tests/bench, a release build, and passes its options on.

use std::process::Command;

use anyhow::Result;

use super::setup;
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("the benchmarks make network namespaces and load BPF programs")?;
    setup::run()?;
    let mut build = step::cargo(&["build", "--release", "--locked", "--package", "tests"]);
    // The second is what the first runs as a command.
    step::run("build", build.args(["--bin", "bench", "--bin", "tested-bulkhead"]))?;
    step::run("bench", Command::new("target/release/bench").args(arguments))
}
