//! What the datapath needs of the machine: each missing thing is one sentence that says how to get it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use aya::maps::MapType;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::pins::BPFFS;

/// Where a kernel describes its own types.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// The capabilities that loading, attaching and reading take, by their numbers in capability.h.
const CAPABILITIES: [(&str, u32); 3] = [("NET_ADMIN", 12), ("PERFMON", 38), ("BPF", 39)];
const SYS_ADMIN: u32 = 21;

/// Checks everything that can be known before anything is loaded.
pub(super) fn check() -> Result<()> {
    capabilities()?;
    bpf_file_system()?;
    ensure!(
        Path::new(KERNEL_TYPES).exists(),
        "the kernel does not describe its types ({KERNEL_TYPES} is missing): run one that is built with \
         CONFIG_DEBUG_INFO_BTF=y, as the distributions' own are"
    );
    let ring = aya::sys::is_map_supported(MapType::RingBuf).context("cannot ask the kernel for BPF ring buffers")?;
    ensure!(ring, "the kernel is too old, it has no BPF ring buffers: run Linux 6.1 or newer");
    Ok(())
}

fn capabilities() -> Result<()> {
    let status = fs::read_to_string("/proc/thread-self/status").context("cannot read /proc/thread-self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no CapEff in the status")?;
    let held = u64::from_str_radix(line.trim(), 16).with_context(|| format!("cannot read the capabilities {line}"))?;
    let missing = missing(held);
    ensure!(
        missing.is_empty(),
        "this needs the capabilities BPF, NET_ADMIN and PERFMON and lacks {}: run it as root (sudo)",
        missing.join(" and ")
    );
    Ok(())
}

/// SYS_ADMIN stands for BPF and PERFMON, as it did before there were such.
fn missing(held: u64) -> Vec<&'static str> {
    let has = |number: u32| held & (1 << number) != 0;
    CAPABILITIES
        .into_iter()
        .filter(|&(name, number)| !has(number) && (name == "NET_ADMIN" || !has(SYS_ADMIN)))
        .map(|(name, _)| name)
        .collect()
}

fn bpf_file_system() -> Result<()> {
    ensure!(is_mounted()?, "no BPF file system is mounted at {BPFFS}: `mount -t bpf bpf {BPFFS}` mounts it");
    Ok(())
}

/// Mounts the BPF file system where it belongs. False where it was there already.
///
/// # Errors
/// The caller may not mount.
pub fn mount_bpffs() -> Result<bool> {
    if is_mounted()? {
        return Ok(false);
    }
    let nothing: Option<&str> = None;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, nothing)
        .with_context(|| format!("cannot mount the BPF file system at {BPFFS}"))?;
    Ok(true)
}

fn is_mounted() -> Result<bool> {
    match statfs(BPFFS) {
        Ok(found) => Ok(found.filesystem_type() == BPF_FS_MAGIC),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {BPFFS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_that_are_missing_are_named() {
        assert_eq!(missing(0), ["NET_ADMIN", "PERFMON", "BPF"]);
        assert_eq!(missing(1 << 12 | 1 << 39), ["PERFMON"]);
        assert!(missing(1 << 12 | 1 << 38 | 1 << 39).is_empty());
        assert!(missing(1 << 12 | 1 << SYS_ADMIN).is_empty());
        assert_eq!(missing(1 << SYS_ADMIN), ["NET_ADMIN"]);
    }
}
