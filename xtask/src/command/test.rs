//! `cargo xtask test`: everything that must hold before a change is merged. With arguments, which cargo test gets: only
//! the tests that they choose.

use anyhow::{Context, Result};

use crate::command::{cluster, lint, setup};
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("the tests make network namespaces and load BPF programs")?;
    setup::run()?;
    lint::run()?;
    // One failing test does not hide another, nor what a real cluster shows.
    let mut tests = step::cargo(&["test", "--locked", "--workspace", "--exclude", "ebpf", "--no-fail-fast"]);
    let here = step::run("test", tests.args(arguments));
    if !arguments.is_empty() {
        return here;
    }
    let there = cluster::test(&["smoke".to_owned()], false).context("on a cluster");
    here.and(there)
}
