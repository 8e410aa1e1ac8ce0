//! `cargo xtask lint`: formatting, clippy as errors for every crate, the fuzz targets compile, and one version of each
//! kernel-side crate.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::command::{fuzz, setup};
use crate::step;

/// Crates that both sides of the kernel boundary are built from: two versions would be two layouts.
const SINGLE: [&str; 8] =
    ["aya", "aya-obj", "aya-ebpf", "aya-ebpf-bindings", "aya-log", "aya-log-common", "aya-log-ebpf", "common"];

pub fn run() -> Result<()> {
    setup::run_for_lint()?;
    step::run("format", &mut step::cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = step::cargo(&["clippy", "--locked", "--workspace", "--exclude", "ebpf", "--all-targets"]);
    step::run("clippy", clippy.args(["--", "-D", "warnings"]))?;
    // They are no default tests, so `--all-targets` leaves them out.
    let mut clippy = step::cargo(&["clippy", "--locked", "--package", "tests", "--test", "cluster_*"]);
    step::run("clippy of the cluster tests", clippy.args(["--", "-D", "warnings"]))?;
    fuzz::check()?;
    println!("── clippy of the kernel programs, for {}", xtask::bpf::TARGET);
    xtask::bpf::lint()?;
    no_skew()
}

/// One lock file holds every crate, the kernel's too: here is the check that none is in it twice.
fn no_skew() -> Result<()> {
    let path = xtask::bpf::workspace().join("Cargo.lock");
    let lock = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = value;
        } else if let Some(value) = quoted(line, "version = ") {
            versions.entry(name).or_default().push(value);
        }
    }
    for crate_name in SINGLE {
        let found = versions.get(crate_name).map(Vec::as_slice).unwrap_or_default();
        ensure!(found.len() == 1, "Cargo.lock holds {crate_name} in versions {found:?}: one is needed, for both sides");
    }
    println!("── one version of each: {}", SINGLE.join(", "));
    Ok(())
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}
