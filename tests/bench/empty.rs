//! The programs that do nothing, two instructions long: what the harness itself and the hooks cost.

#![allow(unsafe_code, reason = "bpf(2) is called directly: aya loads whole objects only")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aya::programs::SchedClassifier;

const BPF_PROG_LOAD: i64 = 5;
const BPF_OBJ_PIN: i64 = 6;
const BPF_LINK_CREATE: i64 = 28;
const SCHED_CLS: u32 = 3;
const NETFILTER: u32 = 32;
const BPF_NETFILTER: u32 = 45;

/// `r0 = -1` (TC_ACT_UNSPEC), `exit`.
const UNSPEC: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];

/// `r0 = 1` (NF_ACCEPT), `exit`.
const ACCEPT: [u64; 2] = [0x1_0000_00b7, 0x95];

/// The name of the program at the netfilter hooks.
pub const EMPTY_NETFILTER: &str = "bench_empty";

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
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

impl Load {
    fn new(kind: u32, instructions: &[u64; 2], license: &std::ffi::CStr) -> Self {
        let (instructions, license) = (instructions.as_ptr() as u64, license.as_ptr() as u64);
        let (count, log, version, flags) = (2, [0; 2], 0, 0);
        Self { kind, count, instructions, license, log, version, flags, name: [0; 16], ifindex: 0, attach_type: 0 }
    }
}

/// The head of `union bpf_attr` for BPF_LINK_CREATE of the netfilter type.
#[repr(C)]
struct CreateLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    family: u32,
    hook: u32,
    priority: i32,
    netfilter_flags: u32,
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
        let load = Load::new(SCHED_CLS, &UNSPEC, c"GPL");
        let fd = bpf(BPF_PROG_LOAD, &load).context("the kernel refuses the empty program")?;
        let program = owned(fd);
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

/// An empty program at the two hooks of the agent's netfilter program, for IPv4: gone when the links are dropped. Call it
/// in the node's network namespace.
///
/// # Errors
/// The kernel refuses.
pub fn at_netfilter() -> Result<Vec<OwnedFd>> {
    const IPV4: u32 = 2;
    let mut load = Load { attach_type: BPF_NETFILTER, ..Load::new(NETFILTER, &ACCEPT, c"GPL") };
    load.name[..EMPTY_NETFILTER.len()].copy_from_slice(EMPTY_NETFILTER.as_bytes());
    let program = owned(bpf(BPF_PROG_LOAD, &load).context("the kernel refuses the empty program at netfilter")?);
    let link = |hook| {
        let (program, attach_type) = (program.as_raw_fd().cast_unsigned(), BPF_NETFILTER);
        let create = CreateLink {
            program,
            target: 0,
            attach_type,
            flags: 0,
            family: IPV4,
            hook,
            priority: 150,
            netfilter_flags: 0,
        };
        Ok(owned(bpf(BPF_LINK_CREATE, &create).context("the kernel does not attach BPF to netfilter")?))
    };
    // LOCAL_IN and POSTROUTING.
    [1, 4].into_iter().map(link).collect()
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just handed out this descriptor, to us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn bpf<T>(command: i64, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is laid out as the command asks, its pointers outlive the call, and the kernel takes the
    // fields beyond its size for zeros.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
