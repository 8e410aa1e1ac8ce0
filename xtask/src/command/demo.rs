//! `cargo xtask demo`: from a fresh machine to the tutorial's verdicts on real packets.

use std::process::Command;

use anyhow::Result;

use crate::command::{build, setup};
use crate::{machine, step};

pub fn run(arguments: &[String]) -> Result<()> {
    machine::require_root("the demo makes network namespaces and loads BPF programs")?;
    setup::run()?;
    build::run()?;
    let mut demo = Command::new("target/release/bulkhead");
    demo.args(["lab", "tutorial", "examples/tutorial", "--cni", "ptp"]).args(arguments);
    step::run("demo", &mut demo)
}
