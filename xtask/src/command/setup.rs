//! `cargo xtask setup`: finds or installs what the BPF target and the tests need, one line a thing.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use xtask::bpf::{Compiler, LINKER_VERSION, TARGET, Toolchain, path_of};

use crate::{machine, step};

const BPF_FS: &str = "/sys/fs/bpf";

/// Debian's compiler for BPF, and the clippy that belongs to it.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// Programs and their packages.
const TOOLS: [(&str, &str); 2] = [("ip", "iproute2"), ("nft", "nftables")];

/// What a thing needed.
enum Found {
    Already(String),
    Now(String),
}

/// Idempotent: on a machine that is set up it only looks.
pub fn run() -> Result<()> {
    report("compiler for BPF", compiler())?;
    report("bpf-linker", linker())?;
    report("ip and nft", tools())?;
    report("BPF file system", bpf_fs())?;
    report("kernel type info", kernel_btf())
}

/// What building takes, on a machine that will not run what it builds.
pub fn run_for_build() -> Result<()> {
    report("compiler for BPF", compiler())?;
    report("bpf-linker", linker())
}

/// What `cargo xtask lint` needs beyond that.
pub fn run_for_lint() -> Result<()> {
    report("compiler for BPF", compiler())?;
    report("clippy for BPF", clippy())?;
    report("bpf-linker", linker())
}

fn report(name: &str, found: Result<Found>) -> Result<()> {
    match found.with_context(|| format!("{name} is missing"))? {
        Found::Already(what) => println!("── {name:<17} found      {what}"),
        Found::Now(what) => println!("── {name:<17} installed  {what}"),
    }
    Ok(())
}

fn compiler() -> Result<Found> {
    if let Some(compiler) = Compiler::find() {
        return Ok(Found::Already(compiler.to_string()));
    }
    println!("── compiler for BPF: installing {}", PACKAGES.join(" "));
    if let Err(apt) = machine::install(&PACKAGES) {
        println!("── compiler for BPF: {apt:#}; trying rustup's nightly");
        let mut rustup = std::process::Command::new("rustup");
        rustup.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        rustup.args(["--component", "rust-src", "--component", "clippy"]);
        step::run("rustup", &mut rustup)?;
    }
    match Compiler::find() {
        Some(compiler) => Ok(Found::Now(compiler.to_string())),
        None => bail!(
            "neither Debian's {} nor rustup's nightly with rust-src could be installed for {TARGET}",
            PACKAGES.join(" ")
        ),
    }
}

fn clippy() -> Result<Found> {
    let compiler = Compiler::find().context("no compiler for BPF")?;
    if let Ok(path) = compiler.clippy() {
        return Ok(Found::Already(path.display().to_string()));
    }
    match compiler {
        Compiler::Debian => machine::install(&PACKAGES)?,
        Compiler::Nightly => {
            let mut rustup = std::process::Command::new("rustup");
            step::run("rustup", rustup.args(["component", "add", "clippy", "--toolchain", "nightly"]))?;
        }
    }
    compiler.clippy().map(|path| Found::Now(path.display().to_string()))
}

fn linker() -> Result<Found> {
    if let Some(path) = Toolchain::find_linker() {
        return Ok(Found::Already(format!("{LINKER_VERSION}, {}", path.display())));
    }
    println!("── bpf-linker: building {LINKER_VERSION}, about two minutes");
    let arguments = ["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force", "--quiet"];
    step::run("bpf-linker", &mut step::cargo(&arguments))?;
    let path = Toolchain::find_linker().context("cargo installed it, but it is not in the PATH")?;
    Ok(Found::Now(format!("{LINKER_VERSION}, {}", path.display())))
}

/// Tests wire networks with the one, and a lab's node rewrites what is sent to Services with the other.
fn tools() -> Result<Found> {
    let is_there = TOOLS.iter().all(|(program, _)| path_of(program).is_some());
    machine::need(&TOOLS)?;
    let found = if is_there { Found::Already } else { Found::Now };
    Ok(found(TOOLS.map(|(_, package)| package).join(" ")))
}

fn bpf_fs() -> Result<Found> {
    if is_bpf_fs_mounted()? {
        return Ok(Found::Already(BPF_FS.to_owned()));
    }
    machine::require_root(&format!("mount -t bpf bpf {BPF_FS}"))?;
    let mut mount = std::process::Command::new("mount");
    let output = mount.args(["-t", "bpf", "bpf", BPF_FS]).stdin(Stdio::null()).output().context("cannot run mount")?;
    ensure!(output.status.success(), "mount {BPF_FS}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(Found::Now(BPF_FS.to_owned()))
}

fn is_bpf_fs_mounted() -> Result<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut words = line.split(' ');
        words.nth(1) == Some(BPF_FS) && words.next() == Some("bpf")
    }))
}

/// Nothing can install this: the kernel is built with it (CONFIG_DEBUG_INFO_BTF) or not.
fn kernel_btf() -> Result<Found> {
    let path = "/sys/kernel/btf/vmlinux";
    ensure!(std::path::Path::new(path).exists(), "{path}: this kernel was built without CONFIG_DEBUG_INFO_BTF");
    Ok(Found::Already(path.to_owned()))
}
