//! `cargo xtask image`: the image that a cluster runs, without Docker: one static binary and nothing else. The same
//! sources and tool chain give the same bytes. deploy/Dockerfile says the same where there is Docker.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use xtask::bpf::workspace;

use crate::command::setup;
use crate::{machine, step};

/// Where the image would be found in a registry; the chart names the same.
const REPOSITORY: &str = "ghcr.io/bulkhead/bulkhead";

/// A target named on purpose: only then are build scripts and procedural macros, which cannot be static, built apart.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the image may weigh: every node of a cluster pulls it.
const LIMIT: u64 = 30 << 20;

pub fn run(arguments: &[String]) -> Result<()> {
    let only_binary = arguments == ["--only-binary"];
    let tag = match arguments {
        [tag] if tag.contains(':') => tag.clone(),
        _ if arguments.is_empty() || only_binary => format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION")),
        _ => bail!("cargo xtask image [--only-binary | REGISTRY/NAME:TAG]"),
    };
    setup::run_for_build()?;
    let binary = build()?;
    let size = fs::metadata(&binary).with_context(|| format!("cannot read {}", binary.display()))?.len();
    ensure!(size < LIMIT, "{} has {size} bytes, more than an image may have ({LIMIT})", binary.display());
    let root = workspace().join("target/image");
    fs::create_dir_all(&root)
        .and_then(|()| fs::copy(&binary, root.join("bulkhead")).map(drop))
        .context("target/image")?;
    if only_binary {
        return Ok(());
    }
    machine::need(&[("jq", "jq")]).context("packing an image needs it")?;
    let mut pack = Command::new(workspace().join("tests/cluster/env/image.sh"));
    step::run("pack", pack.arg(&tag).arg(&root).args(["/bulkhead", "agent"]))
}

/// Static, so that it needs nothing beside it; stripped.
fn build() -> Result<PathBuf> {
    let mut cargo = step::cargo(&["build", "--release", "--locked", "--package", "agent", "--target", TARGET]);
    let here = workspace();
    // Without this the binary would name the folder that it was built in.
    let remap = format!("--remap-path-prefix={}=/bulkhead", here.display());
    let flags = ["-Ctarget-feature=+crt-static", "-Cstrip=symbols", &remap];
    step::run("build", cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")))?;
    Ok(here.join("target").join(TARGET).join("release/bulkhead"))
}
