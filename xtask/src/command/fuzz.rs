//! `cargo xtask fuzz TARGET [--seconds N]`: runs a target of tests/fuzz under libFuzzer, with the pinned tool chain.
//!
//! What libFuzzer needs of the compiler are options that a stable one has; only its sanitizers are not among them, and they
//! look for what safe Rust has not.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::setup;
use crate::{machine, step};

/// Targets, each with the folder of files that a first run starts from.
const TARGETS: [(&str, &str); 2] = [("ingest", "examples"), ("packet", "tests/fuzz/seeds/packet")];
const HOST: &str = "x86_64-unknown-linux-gnu";

/// Counters at every edge, a table of where they are, and what comparisons compare.
const INSTRUMENTED: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

pub fn run(arguments: &[String]) -> Result<()> {
    let (name, seconds) = match arguments {
        [name] => (name.as_str(), 60),
        [name, flag, seconds] if flag == "--seconds" => (name.as_str(), seconds.parse().context("--seconds N")?),
        _ => bail!("cargo xtask fuzz TARGET [--seconds N]; targets: {}", TARGETS.map(|(name, _)| name).join(", ")),
    };
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (name, seeds) = target.with_context(|| format!("no target {name}: {:?}", TARGETS.map(|(name, _)| name)))?;
    if xtask::bpf::path_of("c++").is_none() {
        machine::install(&["g++"]).context("libFuzzer is C++")?;
    }
    setup::run()?;
    build(name)?;
    fuzz(name, seeds, seconds)
}

/// Whether every target still compiles.
pub fn check() -> Result<()> {
    let mut cargo = cargo("check")?;
    // libFuzzer is C++, and nothing is linked here.
    step::run("check of the fuzz targets", cargo.arg("--all-features").env("CUSTOM_LIBFUZZER_PATH", "/left/out"))
}

/// With `--target`, so that build scripts and macros are not instrumented.
fn build(name: &str) -> Result<()> {
    let mut cargo = cargo("build")?;
    cargo.args(["--release", "--target", HOST, "--bin", name]).env("RUSTFLAGS", INSTRUMENTED);
    if name == "ingest" {
        cargo.args(["--features", "ingest"]);
    }
    step::run("build", &mut cargo)
}

/// Cargo on the targets, with the workspace's versions of everything.
fn cargo(command: &str) -> Result<Command> {
    let root = xtask::bpf::workspace();
    fs::copy(root.join("Cargo.lock"), root.join("tests/fuzz/Cargo.lock")).context("cannot copy Cargo.lock")?;
    Ok(step::cargo(&[command, "--manifest-path", "tests/fuzz/Cargo.toml", "--target-dir", "target/fuzz"]))
}

/// Finds and what covers new code stay in target/fuzz, for the next run to start from.
fn fuzz(name: &str, seeds: &str, seconds: u32) -> Result<()> {
    let [corpus, finds] = ["corpus", "finds"].map(|folder| format!("target/fuzz/{folder}/{name}/"));
    for folder in [&corpus, &finds] {
        fs::create_dir_all(xtask::bpf::workspace().join(folder)).with_context(|| format!("cannot make {folder}"))?;
    }
    let mut fuzzer = Command::new(format!("target/fuzz/{HOST}/release/{name}"));
    let time = format!("-max_total_time={seconds}");
    let options = ["-print_final_stats=1", "-timeout=20", "-max_len=8192", "-use_value_profile=1", &time];
    fuzzer.args(options).arg(format!("-artifact_prefix={finds}")).args([&corpus, seeds]);
    let dictionary = format!("tests/fuzz/{name}.dict");
    if xtask::bpf::workspace().join(&dictionary).exists() {
        fuzzer.arg(format!("-dict={dictionary}"));
    }
    step::run("fuzz", &mut fuzzer).with_context(|| format!("what was found is in {finds}"))?;
    ensure!(fs::read_dir(xtask::bpf::workspace().join(&finds))?.next().is_none(), "{finds} holds earlier finds");
    Ok(())
}
