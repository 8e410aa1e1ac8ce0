//! What this machine is: who we are on it, and the packages that can be added to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use xtask::bpf::path_of;

/// True for the user that may make network namespaces and load programs.
#[must_use]
pub fn is_root() -> bool {
    // The owner of our own entry in /proc is the effective user.
    fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

/// # Errors
/// One line with the remedy, when this is not root.
pub fn require_root(why: &str) -> Result<()> {
    ensure!(is_root(), "{why}: run it as root (`sudo -E env \"PATH=$PATH\" cargo xtask …`)");
    Ok(())
}

/// Installs the packages of the programs that are not there; each is (program, package).
///
/// # Errors
/// As [`install`].
pub fn need(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| path_of(program).is_none()).map(|(_, p)| *p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("── installing {}", missing.join(" "));
    install(&missing)
}

/// Installs Debian packages. The list of packages is renewed only when they are not found without.
///
/// # Errors
/// There is no apt here, this is not root, or apt fails: one line that names the packages.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    ensure!(path_of("apt-get").is_some(), "no apt-get on this machine");
    require_root(&format!("apt-get install {names}"))?;
    if apt(&[&["install"], packages].concat()).is_ok() {
        return Ok(());
    }
    apt(&["update"]).and_then(|()| apt(&[&["install"], packages].concat()))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(["-y", "-q", "--no-install-recommends"]).args(arguments);
    let _quiet = NoServices::new()?;
    let output = apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
    let output = output.context("cannot run apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find(|line| line.starts_with("E:")).unwrap_or("no reason given");
    bail!("apt-get {}: {error}", arguments.join(" "))
}

/// While it exists, Debian starts no service that it installs: what runs on this machine is its owner's choice.
struct NoServices {
    /// Where there was no such policy before.
    ours: bool,
}

/// What Debian asks whether a service may start, if it exists.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        let ours = !Path::new(SERVICE_POLICY).exists();
        if ours {
            // 101: "action not allowed".
            fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| fs::set_permissions(SERVICE_POLICY, fs::Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {SERVICE_POLICY}"))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(SERVICE_POLICY)
        {
            println!("── cannot remove {SERVICE_POLICY}, without which services may start again: {error}");
        }
    }
}
