//! The program that does nothing, two instructions long: what the harness itself and the hook cost.

#![allow(unsafe_code, reason = "bpf(2) is called directly: aya loads whole objects only")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aya::programs::SchedClassifier;

const BPF_PROG_LOAD: i64 = 5;
const BPF_OBJ_PIN: i64 = 6;
const SCHED_CLS: u32 = 3;

/// `r0 = -1` (TC_ACT_UNSPEC), `exit`.
const INSTRUCTIONS: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];

/// The head of `union bpf_attr` for BPF_PROG_LOAD; what follows is optional.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
    version: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for BPF_OBJ_PIN.
#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The pin of the empty program, gone on drop.
#[derive(Debug)]
pub struct Empty {
    path: PathBuf,
}

impl Empty {
    /// # Errors
    /// The kernel refuses, or there is no BPF file system.
    pub fn load() -> Result<Self> {
        let path = Path::new("/sys/fs/bpf").join(format!("bulkhead-bench-empty-{}", std::process::id()));
        let license = c"GPL";
        let load = Load {
            kind: SCHED_CLS,
            count: INSTRUCTIONS.len() as u32,
            instructions: INSTRUCTIONS.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log: [0; 2],
            version: 0,
            flags: 0,
        };
        let fd = bpf(BPF_PROG_LOAD, &load).context("the kernel refuses the empty program")?;
        // SAFETY: the kernel has just handed out this descriptor, to us alone.
        let program = unsafe { OwnedFd::from_raw_fd(fd) };
        let name = CString::new(path.to_string_lossy().into_owned())?;
        let pin = Pin { path: name.as_ptr() as u64, fd: program.as_raw_fd().cast_unsigned(), flags: 0 };
        bpf(BPF_OBJ_PIN, &pin).with_context(|| format!("cannot pin {}", path.display()))?;
        Ok(Self { path })
    }

    /// A handle of its own on the program.
    ///
    /// # Errors
    /// The pin is gone.
    pub fn program(&self) -> Result<SchedClassifier> {
        SchedClassifier::from_pin(&self.path).with_context(|| format!("cannot open {}", self.path.display()))
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn bpf<T>(command: i64, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is laid out as the command asks, its pointers outlive the call, and the kernel takes the
    // fields beyond its size for zeros.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
