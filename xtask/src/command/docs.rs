//! `cargo xtask docs`: writes what is generated of the documentation.

use anyhow::Result;

use crate::step;

pub fn run() -> Result<()> {
    step::run("docs", &mut step::cargo(&["run", "--quiet", "--locked", "--package", "tests", "--bin", "docs"]))
}
