//! Builds the kernel programs: finds the tool chain (`toolchain`) and runs cargo with it, shielded from the
//! environment of the cargo that called.

mod toolchain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
pub use toolchain::{Compiler, LINKER_VERSION, Toolchain, path_of};

/// The target of the kernel programs: little-endian BPF.
pub const TARGET: &str = "bpfel-unknown-none";

/// The folder under the workspace that the `ebpf` crate is built in; one of its own, because the other cargo holds
/// the lock of `target/` while it runs our build script.
const TARGET_DIR: &str = "target/bpf";

/// The cargo profile of the kernel programs, in the root Cargo.toml.
const PROFILE: &str = "bpf";

/// The workspace that this crate was built in.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Builds the `ebpf` crate and returns the path of the object file.
///
/// # Errors
/// One line that says what is missing; or the compiler's own words.
pub fn build() -> Result<PathBuf> {
    run(&Toolchain::find()?, "build", &[])?;
    Ok(workspace().join(TARGET_DIR).join(TARGET).join(PROFILE).join("bulkhead"))
}

/// Runs clippy on the `ebpf` crate for its real target.
///
/// # Errors
/// As [`build`], and when clippy finds something.
pub fn lint() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let clippy = toolchain.compiler.clippy()?;
    run(&toolchain, "check", &[("RUSTC_WORKSPACE_WRAPPER", clippy.into()), ("CLIPPY_ARGS", "-Dwarnings".into())])
}

fn run(toolchain: &Toolchain, subcommand: &str, environment: &[(&str, OsString)]) -> Result<()> {
    let mut cargo = toolchain.compiler.cargo(subcommand);
    cargo.args(["--locked", "--package", "ebpf", "--target", TARGET, "--profile", PROFILE, "--target-dir", TARGET_DIR]);
    cargo.args(toolchain.compiler.cargo_flags()).current_dir(workspace());
    let linker = format!("-Clinker={}", toolchain.linker.display());
    // Flags are separated by 0x1f. `--btf` makes the linker keep type information: the loader and bpftool read it.
    // In-order expansion is for programs that rewrite packets; it makes each `= [0; N]` a loop over its bytes.
    // The third version of the instruction set (Linux 5.1) has 32-bit arithmetic: less to run, and to verify.
    let flags = [linker.as_str(), "-Ctarget-cpu=v3", "-Clink-arg=--btf", "-Clink-arg=--disable-expand-memcpy-in-order"];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.env("LD_LIBRARY_PATH", llvm_folder(toolchain.compiler)?);
    cargo.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = cargo.output().with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    ensure!(
        output.status.success(),
        "the kernel programs do not build for {TARGET} with {}:\n{}",
        toolchain.compiler,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A folder with nothing but a link to the compiler's own LLVM. bpf-linker loads the first `libLLVM*` that it meets in
/// the folders of LD_LIBRARY_PATH, and another LLVM could not read what the compiler wrote.
fn llvm_folder(compiler: Compiler) -> Result<PathBuf> {
    let library = compiler.llvm()?;
    let folder = workspace().join(TARGET_DIR).join("llvm");
    let link = folder.join("libLLVM.so");
    if std::fs::read_link(&link).ok().as_ref() != Some(&library) {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // Renamed into place, because two builds may run at once.
        let fresh = folder.join(format!(".fresh-{}", std::process::id()));
        std::os::unix::fs::symlink(&library, &fresh)
            .and_then(|()| std::fs::rename(&fresh, &link))
            .with_context(|| format!("cannot link {} to {}", link.display(), library.display()))?;
    }
    Ok(folder)
}

/// Takes out of `command`'s environment what an outer cargo, rustup or clippy put there for another compiler.
fn shield(command: &mut Command) {
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];
    let foreign = |name: &str| {
        let prefixed = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CLIPPY_"].iter().any(|p| name.starts_with(p));
        let exact = ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "TARGET", "HOST", "PROFILE", "OUT_DIR"].contains(&name);
        (prefixed || exact) && !KEPT.iter().any(|p| name.starts_with(p))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(foreign) {
            command.env_remove(name);
        }
    }
}
