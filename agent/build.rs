//! Builds the kernel programs and hands their object file to `include_bytes_aligned!(env!("BULKHEAD_BPF_OBJECT"))`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let root = xtask::bpf::workspace();
    // Missing tools must be looked for again once they may be there; cargo reruns us then because the path changes.
    for source in ["ebpf", "common/src", "common/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=PATH");
    let object = xtask::bpf::build()?;
    // A copy of our own: the folder of the BPF build is shared by all profiles, and another build may be writing there.
    let copy = Path::new(&std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?).join("bulkhead.bpf.o");
    std::fs::copy(&object, &copy).with_context(|| format!("cannot copy {}", object.display()))?;
    println!("cargo::rustc-env=BULKHEAD_BPF_OBJECT={}", copy.display());
    Ok(())
}
