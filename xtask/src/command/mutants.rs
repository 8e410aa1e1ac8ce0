//! `cargo xtask mutants [WORD…]`: whether the tests notice the mistakes of tests/mutants/mutants.yaml.

use anyhow::Result;

use crate::command::setup;
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("some of the tests that notice a mistake load BPF programs")?;
    setup::run()?;
    let mut mutants = step::cargo(&["run", "--quiet", "--locked", "--package", "tests", "--bin", "mutants", "--"]);
    step::run("mutants", mutants.args(arguments))
}
