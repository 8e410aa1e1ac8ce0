//! A full compile of a large cluster.

use std::time::Instant;

use anyhow::Result;

use crate::report::{Budget, Row};
use crate::sample::Samples;
use crate::{kernel, worlds};

const PODS: u32 = 10_000;
const POLICIES: u32 = 1000;
const LOCAL: u32 = 110;

/// Measures `rounds` compiles of one world.
///
/// # Errors
/// The world does not compile.
pub fn run(rounds: u32) -> Result<Vec<Row>> {
    let input = worlds::cluster(PODS, POLICIES, LOCAL);
    let mut samples = Samples::default();
    let mut rows = 0;
    for _ in 0..rounds {
        let started = Instant::now();
        let compiled = kernel::compile(&input)?;
        samples.add(started.elapsed().as_secs_f64() * 1e3);
        rows = compiled.desired.tables.rules.len();
    }
    let name = format!("{PODS} pods, {POLICIES} policies, {LOCAL} local pods");
    let row = Row::new("compile", name, samples.median(), "ms", Some(Budget::AtMost(20.0)));
    Ok(vec![row.note(format!("{rows} rule rows, spread {:.0} %", samples.spread()))])
}
