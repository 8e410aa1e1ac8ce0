//! `cargo xtask build`: the binary that is shipped.

use anyhow::Result;

use crate::step;

pub fn run() -> Result<()> {
    step::run("build", &mut step::cargo(&["build", "--release", "--locked", "--package", "agent"]))
}
