//! The one BPF command that aya does not have: taking a link off its hook now, not when its last holder lets go.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;

const BPF_OBJ_GET: libc::c_long = 7;
const BPF_LINK_DETACH: libc::c_long = 34;

/// The part of `union bpf_attr` that both commands read.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    /// `BPF_OBJ_GET`: the address of the path. `BPF_LINK_DETACH`: the link's file descriptor, in the low half.
    first: u64,
    flags: [u32; 2],
}

/// Detaches the link that is pinned at `pin`, whoever else holds it. Removing the pin alone would do so too, but only
/// some time later. Nothing there, or a link whose interface is gone, is no error.
pub(super) fn detach_link(pin: &Path) -> Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes()).context("a path with a zero byte")?;
    // The address stays valid: `path` lives until the end of this function.
    let get = Attributes { first: path.as_ptr() as u64, ..Attributes::default() };
    let link = match bpf(BPF_OBJ_GET, &get) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found.with_context(|| format!("cannot open {}", pin.display()))?,
    };
    let link = owned(link)?;
    let descriptor = u32::try_from(link.as_raw_fd()).context("a negative file descriptor")?;
    let detach = Attributes { first: u64::from(descriptor), ..Attributes::default() };
    bpf(BPF_LINK_DETACH, &detach).with_context(|| format!("cannot detach {}", pin.display()))?;
    Ok(())
}

#[expect(unsafe_code, reason = "there is no safe wrapper around this system call")]
fn bpf(command: libc::c_long, attributes: &Attributes) -> nix::Result<libc::c_long> {
    // SAFETY: both commands read the attributes, of the size given, and a path that is still alive; they write nothing.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<Attributes>()) };
    Errno::result(result)
}

#[expect(unsafe_code, reason = "the kernel hands out descriptors as numbers")]
fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
