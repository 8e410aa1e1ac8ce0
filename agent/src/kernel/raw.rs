//! The BPF commands that aya does not have: taking a link off its hook now, not when its last holder lets go, and programs of
//! the netfilter type.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::Pod;
use aya::maps::MapData;
use aya_obj::Function;
use nix::errno::Errno;

const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_BTF_LOAD: libc::c_long = 18;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_PROG_TYPE_NETFILTER: u32 = 32;
const BPF_NETFILTER: u32 = 45;
/// The end of what the verifier says is what matters.
const LOG: usize = 1 << 20;
const LOG_END: usize = 1500;

/// The part of `union bpf_attr` that commands on pins and links read.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    /// `BPF_OBJ_GET`, `BPF_OBJ_PIN`: the address of the path. `BPF_LINK_DETACH`, `BPF_MAP_FREEZE`: a file descriptor, in
    /// the low half.
    first: u64,
    /// `BPF_OBJ_PIN`: the file descriptor.
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct UpdateElement {
    map: u32,
    _zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    /// The addresses of where the batch before ended, 0 for the first, and of where this one does.
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    /// Places for entries; then how many were written.
    count: Cell<u32>,
    map: u32,
    element_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct LoadProgram {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    types: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    _zero: u32,
}

#[repr(C)]
#[derive(Default)]
struct LoadTypes {
    types: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    _zero: u32,
}

/// A program that is put together.
pub(super) struct Program<'a> {
    pub(super) name: &'a str,
    pub(super) license: &'a CString,
    pub(super) function: &'a Function,
    /// Its types ([`load_types`]), where the kernel takes any.
    pub(super) types: Option<BorrowedFd<'a>>,
}

#[repr(C)]
#[derive(Default)]
struct CreateNetfilterLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    family: u32,
    hook: u32,
    priority: i32,
    netfilter_flags: u32,
}

/// A place among the netfilter hooks of a network namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetfilterHook {
    /// `NFPROTO_…`
    pub(super) family: u32,
    /// `NF_INET_…`
    pub(super) hook: u32,
    pub(super) priority: i32,
}

/// Detaches the link that is pinned at `pin`, whoever else holds it. Removing the pin alone would do so too, but only
/// some time later. Nothing there, or a link whose interface is gone, is no error.
pub(super) fn detach_link(pin: &Path) -> Result<()> {
    let path = c_path(pin)?;
    // The address stays valid: `path` lives until the end of this function.
    let get = Attributes { first: path.as_ptr() as u64, ..Attributes::default() };
    let link = match bpf(BPF_OBJ_GET, &get) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found.with_context(|| format!("cannot open {}", pin.display()))?,
    };
    let link = owned(link)?;
    let detach = Attributes { first: u64::from(number(&link)?), ..Attributes::default() };
    bpf(BPF_LINK_DETACH, &detach).with_context(|| format!("cannot detach {}", pin.display()))?;
    Ok(())
}

/// Fills the only value of a map and makes it read-only, so that the verifier knows it.
pub(super) fn freeze(map: BorrowedFd<'_>, value: &[u8]) -> Result<()> {
    let (map, key) = (number(&map)?, 0_u32);
    let update =
        UpdateElement { map, key: (&raw const key) as u64, value: value.as_ptr() as u64, ..UpdateElement::default() };
    bpf(BPF_MAP_UPDATE_ELEM, &update).context("cannot write the program's constants")?;
    let freeze = Attributes { first: u64::from(map), ..Attributes::default() };
    bpf(BPF_MAP_FREEZE, &freeze).context("cannot fix the program's constants")?;
    Ok(())
}

/// Reads entries of a hash map into `keys` and `values`, from where an earlier call ended (`BPF_MAP_LOOKUP_BATCH`, Linux
/// 5.6). Returns how many there were, and where the next call begins; `None` at the end of the map. Unlike a walk from key
/// to key it comes to an end whatever is removed meanwhile.
///
/// # Errors
/// The kernel refuses, or a bucket of the map has more entries than there are places.
pub(super) fn look_up_batch<K: Pod, V: Pod>(
    map: &MapData,
    from: Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> Result<(usize, Option<u32>)> {
    let to = Cell::new(0_u32);
    let places = u32::try_from(keys.len().min(values.len())).unwrap_or(u32::MAX);
    let batch = Batch {
        from: from.as_ref().map_or(0, |from| core::ptr::from_ref(from) as u64),
        to: to.as_ptr() as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: Cell::new(places),
        map: number(&map.fd().as_fd())?,
        ..Batch::default()
    };
    let end = match bpf(BPF_MAP_LOOKUP_BATCH, &batch) {
        Err(Errno::ENOENT) => None,
        read => read.map(|_| Some(to.get())).context("the kernel reads no batch of the map")?,
    };
    Ok((batch.count.get() as usize, end))
}

/// Loads a program of the netfilter type (Linux 6.4).
///
/// # Errors
/// The kernel refuses it: with the end of what its verifier says, where it says anything.
pub(super) fn load_netfilter(program: &Program<'_>) -> Result<OwnedFd> {
    let Program { name, license, function, types } = program;
    let mut log = vec![0_u8; LOG];
    let mut short = [0; 16];
    name.bytes().take(15).zip(&mut short).for_each(|(byte, place)| *place = byte);
    let functions = function.func_info.func_info_bytes();
    let load = LoadProgram {
        kind: BPF_PROG_TYPE_NETFILTER,
        instruction_count: u32::try_from(function.instructions.len()).context("a program that is too long")?,
        instructions: function.instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 1,
        log_size: LOG as u32,
        log: log.as_mut_ptr() as u64,
        name: short,
        attach_type: BPF_NETFILTER,
        types: types.map(|types| number(&types)).transpose()?.unwrap_or_default(),
        function_size: function.func_info_rec_size as u32,
        functions: functions.as_ptr() as u64,
        function_count: if types.is_some() { function.func_info.len() as u32 } else { 0 },
        ..LoadProgram::default()
    };
    match bpf(BPF_PROG_LOAD, &load) {
        Ok(program) => Ok(owned(program)?),
        Err(errno) => {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG);
            let said = String::from_utf8_lossy(&log[end.saturating_sub(LOG_END)..end]);
            bail!("the kernel refuses {name}: {errno}. {}", said.trim())
        }
    }
}

/// Hands types over to the kernel.
pub(super) fn load_types(types: &[u8]) -> Result<OwnedFd> {
    let size = u32::try_from(types.len()).context("types that are too long")?;
    let load = LoadTypes { types: types.as_ptr() as u64, size, ..LoadTypes::default() };
    Ok(owned(bpf(BPF_BTF_LOAD, &load).context("the kernel refuses the program's types")?)?)
}

/// Puts a program on a netfilter hook of this thread's network namespace, and pins it there.
pub(super) fn attach_netfilter(program: BorrowedFd<'_>, hook: NetfilterHook, pin: &Path) -> Result<()> {
    let NetfilterHook { family, hook, priority } = hook;
    let program = number(&program)?;
    let create = CreateNetfilterLink {
        program,
        attach_type: BPF_NETFILTER,
        family,
        hook,
        priority,
        ..CreateNetfilterLink::default()
    };
    let link = bpf(BPF_LINK_CREATE, &create).context("the kernel does not attach BPF to netfilter")?;
    let link = owned(link)?;
    let path = c_path(pin)?;
    let attributes = Attributes { first: path.as_ptr() as u64, descriptor: number(&link)?, flags: 0 };
    bpf(BPF_OBJ_PIN, &attributes).with_context(|| format!("cannot pin {}", pin.display()))?;
    Ok(())
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte")
}

fn number(descriptor: &impl AsRawFd) -> Result<u32> {
    u32::try_from(descriptor.as_raw_fd()).context("a negative file descriptor")
}

#[expect(unsafe_code, reason = "there is no safe wrapper around this system call")]
fn bpf<T>(command: libc::c_long, attributes: &T) -> nix::Result<libc::c_long> {
    // SAFETY: a command reads the attributes, of the size given, and what they lead to, which the callers keep alive. Of
    // those only BPF_PROG_LOAD writes: into the caller's log, up to its size.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    Errno::result(result)
}

#[expect(unsafe_code, reason = "the kernel hands out descriptors as numbers")]
fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
