//! Which compiler knows `bpfel-unknown-none` on this machine, and where the linker is.
//!
//! The target has no standard library in rustup. Two tool chains have one: a nightly with the library's source, and
//! Debian's. The rest of the workspace is built by the compiler that rust-toolchain.toml pins, whichever is found.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::{TARGET, shield};

/// The linker's version: it must read the bitcode of both compilers.
pub const LINKER_VERSION: &str = "0.10.3";

/// Debian's compiler: with its full path, because `rustc` in the PATH is rustup's.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CLIPPY: &str = "/usr/bin/clippy-driver";

/// What the kernel programs are built with.
#[derive(Debug)]
pub struct Toolchain {
    pub compiler: Compiler,
    /// Path of bpf-linker.
    pub linker: PathBuf,
}

/// A compiler that has, or can build, the `core` library for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// rustup's nightly with the `rust-src` component.
    Nightly,
    /// Debian's `rustc-web` with `libstd-rust-web-dev-bpf`.
    Debian,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "rustup's nightly with rust-src",
            Self::Debian => "Debian's rustc-web with libstd-rust-web-dev-bpf",
        })
    }
}

impl Toolchain {
    /// # Errors
    /// One line: what is missing and how to get it.
    pub fn find() -> Result<Self> {
        let Some(compiler) = Compiler::find() else {
            bail!("no Rust compiler for {TARGET} on this machine: run `cargo xtask setup`");
        };
        let Some(linker) = Self::find_linker() else {
            bail!("bpf-linker {LINKER_VERSION} is not installed: run `cargo xtask setup`");
        };
        Ok(Self { compiler, linker })
    }

    /// bpf-linker of the version that we use, from the PATH or from cargo's own folder.
    #[must_use]
    pub fn find_linker() -> Option<PathBuf> {
        let linker = path_of("bpf-linker")?;
        let output = Command::new(&linker).arg("--version").output().ok()?;
        String::from_utf8_lossy(&output.stdout).contains(LINKER_VERSION).then_some(linker)
    }
}

impl Compiler {
    #[must_use]
    pub fn find() -> Option<Self> {
        [Self::Nightly, Self::Debian].into_iter().find(|compiler| compiler.is_installed())
    }

    fn is_installed(self) -> bool {
        match self {
            Self::Nightly => {
                let sysroot = output_of("rustup", ["run", "nightly", "rustc", "--print", "sysroot"]);
                sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/core").is_dir())
            }
            Self::Debian => {
                let libraries = output_of(DEBIAN_RUSTC, ["--print", "target-libdir", "--target", TARGET]);
                libraries.is_some_and(|folder| {
                    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
                    files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libcore-"))
                })
            }
        }
    }

    /// Cargo with this compiler, and nothing of the outer cargo's environment.
    pub(super) fn cargo(self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", "nightly", "cargo"]);
                rustup
            }
            Self::Debian => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        };
        shield(&mut command);
        if self == Self::Debian {
            // The target is not stable: without this the compiler would refuse the flags that it needs.
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        }
        command.arg(subcommand);
        command
    }

    pub(super) const fn cargo_flags(self) -> &'static [&'static str] {
        match self {
            Self::Nightly => &["-Zbuild-std=core"],
            Self::Debian => &[],
        }
    }

    /// The LLVM that this compiler is linked with.
    pub(super) fn llvm(self) -> Result<PathBuf> {
        let rustc = match self {
            Self::Nightly => output_of("rustup", ["which", "--toolchain", "nightly", "rustc"]),
            Self::Debian => Some(DEBIAN_RUSTC.to_owned()),
        };
        let libraries = rustc.and_then(|rustc| output_of("ldd", [rustc])).unwrap_or_default();
        // Lines of ldd: `libLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x…)`.
        let line = libraries.lines().find(|line| line.trim_start().starts_with("libLLVM"));
        match line.and_then(|line| line.split_whitespace().nth(2)) {
            Some(path) => Ok(path.into()),
            None => bail!("{self} is not linked with a shared LLVM, which bpf-linker needs: run `cargo xtask setup`"),
        }
    }

    /// The clippy that belongs to this compiler.
    ///
    /// # Errors
    /// One line: it is missing, and how to get it.
    pub fn clippy(self) -> Result<PathBuf> {
        match self {
            Self::Nightly => match output_of("rustup", ["which", "--toolchain", "nightly", "clippy-driver"]) {
                Some(path) => Ok(path.into()),
                None => bail!("rustup's nightly has no clippy: run `rustup component add clippy --toolchain nightly`"),
            },
            Self::Debian if Path::new(DEBIAN_CLIPPY).exists() => Ok(DEBIAN_CLIPPY.into()),
            Self::Debian => bail!("{DEBIAN_CLIPPY} is missing: run `cargo xtask setup`"),
        }
    }
}

/// The full path of a program: from the PATH, or from the folder that `cargo install` writes to.
#[must_use]
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    std::env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// What a program prints, if it is there and succeeds.
fn output_of(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Option<String> {
    let mut command = Command::new(program);
    shield(&mut command);
    let output = command.args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
