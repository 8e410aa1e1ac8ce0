//! `cargo xtask test`: everything that must hold before a change is merged.

use anyhow::Result;

use crate::command::{lint, setup};
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("the tests make network namespaces and load BPF programs")?;
    setup::run()?;
    lint::run()?;
    // The tests of the command line start the binary, which `cargo test` alone does not build.
    step::run("build", &mut step::cargo(&["build", "--locked", "--package", "agent"]))?;
    // One failing test does not hide another.
    let mut tests = step::cargo(&["test", "--locked", "--workspace", "--exclude", "ebpf", "--no-fail-fast"]);
    step::run("test", tests.args(arguments))
}
