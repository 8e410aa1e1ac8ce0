//! `cargo xtask bench`: runs tests/bench, a release build, and passes its options on.

use std::process::Command;

use anyhow::{Context, Result};

use super::setup;
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("the benchmarks make network namespaces and load BPF programs")?;
    setup::run()?;
    // The rival that traffic is measured against.
    machine::need(&[("nft", "nftables")]).context("the benchmark compares with nftables")?;
    step::run("build", &mut step::cargo(&["build", "--release", "--locked", "--package", "tests", "--bin", "bench"]))?;
    step::run("bench", Command::new("target/release/bench").args(arguments))
}
