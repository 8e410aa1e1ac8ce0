//! One test file of the copied tree.

use std::process::Stdio;

use anyhow::{Context, Result};

use tests::copy::TreeCopy;

/// How a test file ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    /// The first function that failed.
    Failed(String),
    /// What the compiler said.
    NotBuilt(String),
}

/// More random worlds than in CI, and none made smaller: that it fails is enough. Nobody reads where it failed.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("BULKHEAD_WORLDS", "300"),
    ("BULKHEAD_SEQUENCES", "150"),
    ("BULKHEAD_KERNEL_WORLDS", "40"),
    ("BULKHEAD_RANDOM_PACKETS", "100000"),
    ("PROPTEST_MAX_SHRINK_ITERS", "0"),
];

/// `test`: package and test file; of a package without test file the tests in its source.
pub fn test(tree: &TreeCopy, test: &str) -> Result<Fate> {
    let (package, file) = test.split_once(' ').unwrap_or((test, "--lib"));
    let which = if file == "--lib" { vec!["--lib"] } else { vec!["--test", file] };
    let build = cargo(tree, package, &which, &["--no-run"])?;
    if !build.status.success() {
        return Ok(Fate::NotBuilt(String::from_utf8_lossy(&build.stderr).into_owned()));
    }
    let ran = cargo(tree, package, &which, &["--no-fail-fast"])?;
    if ran.status.success() {
        return Ok(Fate::Passed);
    }
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let failed = text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    Ok(Fate::Failed(failed.unwrap_or("it ended without a result").to_owned()))
}

fn cargo(tree: &TreeCopy, package: &str, which: &[&str], more: &[&str]) -> Result<std::process::Output> {
    let mut cargo = tree.cargo(&["test", "--locked", "--package", package]);
    cargo.args(which).args(more).envs(ENVIRONMENT).stdin(Stdio::null());
    cargo.output().context("cannot run cargo")
}
