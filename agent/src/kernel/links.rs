//! Programs on the hooks of a veth: TCX links where the kernel has them, clsact filters elsewhere.
//!
//! A TCX link lives as long as its pin `links/IFINDEX-DIRECTION`. A filter lives as long as its interface; the folder
//! `links/IFINDEX-DIRECTION-filter-NETNS` remembers that it is ours, and in which network namespace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use common::abi::Direction;
use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::expedited::Expedited;
use super::link_pins::{self, Pin, PinKind, Place, here};
use super::raw::detach_link;
use super::{Datapath, Pins, after_dnat};

/// Where our filter stands among those of an interface: first, and at a handle that nobody has by chance.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0xb01c, 0xead1);

/// How programs are put on a veth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attachment {
    /// TCX where the kernel has it, clsact elsewhere.
    #[default]
    Auto,
    /// clsact, as on kernels before 6.6.
    Clsact,
}

/// What [`probe`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Tcx,
    Clsact,
}

/// Which hook this kernel has: asks what is attached to `lo`, which a kernel without TCX calls invalid.
pub(super) fn probe(attachment: Attachment) -> Result<Hook> {
    if attachment == Attachment::Clsact {
        return Ok(Hook::Clsact);
    }
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
        Ok(_) => Ok(Hook::Tcx),
        Err(error) if errno(&error) == Some(Errno::EINVAL) => Ok(Hook::Clsact),
        Err(error) => Err(error).context("cannot ask the kernel for TCX"),
    }
}

impl Datapath {
    /// Puts both programs on an interface, or swaps them in place where ours are there already: no packet passes
    /// unjudged. Call it in the interface's network namespace.
    ///
    /// # Errors
    /// The interface is gone or is not the one that was meant, or the kernel refuses. What was attached stays.
    pub fn attach(&mut self, ifindex: u32, name: &str) -> Result<()> {
        for direction in Direction::ALL {
            let place = Place { ifindex, direction };
            self.attach_one(place, name)
                .with_context(|| format!("cannot attach to {name} (interface {ifindex}), {}", direction.name()))?;
        }
        Ok(())
    }

    /// Takes both programs off an interface: ours, nobody else's. Nothing there is no error.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&mut self, ifindex: u32) -> Result<()> {
        detach(&self.pins, |pin| pin.place.ifindex == ifindex)
    }

    /// The interfaces that have a program of ours, or had one until they went away.
    ///
    /// # Errors
    /// The folder of links cannot be read.
    pub fn attached(&self) -> Result<BTreeSet<u32>> {
        Ok(link_pins::list(&self.pins)?.into_iter().map(|pin| pin.place.ifindex).collect())
    }

    /// Swaps the programs of everything that is attached, in place, and forgets what went away.
    ///
    /// # Errors
    /// The kernel refuses; the rest keeps its old programs.
    pub fn swap_links(&mut self) -> Result<()> {
        for pin in link_pins::list(&self.pins)? {
            let swapped = match pin.kind {
                PinKind::Link => self.swap_link(&pin.path, pin.place),
                PinKind::Filter(netns) if netns == here()? => self.swap_filter(pin.place),
                PinKind::Filter(_) => continue,
            };
            if !swapped.with_context(|| format!("cannot swap the program of {}", pin.path.display()))? {
                pin.forget()?;
            }
        }
        // Now that no veth relies on them.
        after_dnat::retire(&self.pins, self.after_dnat.as_ref().ok())
    }

    fn attach_one(&mut self, place: Place, name: &str) -> Result<()> {
        check_name(place.ifindex, name)?;
        match self.hook {
            Hook::Tcx => self.attach_link(place, name)?,
            Hook::Clsact => self.attach_filter(place, name)?,
        }
        // The other hook may hold ours from a time with another setting. Two would count every packet twice.
        let hook = self.hook;
        detach(&self.pins, |pin| pin.place == place && pin.kind.hook() != hook)
    }

    fn attach_link(&mut self, place: Place, name: &str) -> Result<()> {
        let path = place.link(&self.pins);
        if path.exists() {
            if self.swap_link(&path, place)? {
                return Ok(());
            }
            fs::remove_file(&path).with_context(|| format!("cannot remove the dead link {}", path.display()))?;
        }
        let program = self.programs.get(place.direction)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let expedited = Expedited::begin();
        let id = program.attach_with_options(name, place.hook(), options)?;
        drop(expedited);
        let link: FdLink = program.take_link(id)?.try_into()?;
        // The name was all that we could attach by. Dropping the link takes the program off again.
        check_name(place.ifindex, name)?;
        link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
        Ok(())
    }

    /// False where the interface of the link is gone.
    fn swap_link(&mut self, path: &Path, place: Place) -> Result<bool> {
        let pinned = PinnedLink::from_pin(path).with_context(|| format!("cannot open {}", path.display()))?;
        let link = SchedClassifierLink::try_from(FdLink::from(pinned))
            .with_context(|| format!("{} is no TCX link", path.display()))?;
        let program = self.programs.get(place.direction)?;
        match program.attach_to_link(link) {
            // The pin holds the link, so that what is dropped here is only our handle.
            Ok(id) => drop(program.take_link(id)?),
            Err(error) if errno(&error) == Some(Errno::ENOLINK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn attach_filter(&mut self, place: Place, name: &str) -> Result<()> {
        let marker = place.marker(&self.pins, here()?);
        if marker.exists() && self.swap_filter(place)? {
            return Ok(());
        }
        match tc::qdisc_add_clsact(name) {
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
            added => added.context("cannot add the clsact qdisc")?,
        }
        // Marked first: after a crash in between the marker leads to a filter that is not there, never the reverse.
        fs::create_dir_all(&marker).with_context(|| format!("cannot create {}", marker.display()))?;
        let program = self.programs.get(place.direction)?;
        let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
        match program.attach_with_options(name, place.hook(), TcAttachOptions::Netlink(options)) {
            Ok(id) => {
                let link = program.take_link(id)?;
                check_name(place.ifindex, name)?;
                // Filters stay with their interface; dropping the link object would take ours off.
                std::mem::forget(link);
                Ok(())
            }
            Err(error) => {
                fs::remove_dir(&marker).with_context(|| format!("cannot remove {}", marker.display()))?;
                if errno(&error) == Some(Errno::EEXIST) {
                    bail!(
                        "another filter has our place (`pref {PRIORITY} handle 0xb01cead1`): remove it with `tc filter`"
                    )
                }
                Err(error.into())
            }
        }
    }

    /// False where the interface or the filter is gone.
    fn swap_filter(&mut self, place: Place) -> Result<bool> {
        let Some(name) = name_of(place.ifindex)? else { return Ok(false) };
        let program = self.programs.get(place.direction)?;
        let link = SchedClassifierLink::attached(&name, place.hook(), PRIORITY, HANDLE, None)?;
        match program.attach_to_link(link) {
            Ok(id) => std::mem::forget(program.take_link(id)?),
            Err(error) if matches!(errno(&error), Some(Errno::ENOENT | Errno::EINVAL | Errno::ENODEV)) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Removes everything of a datapath: its programs from their hooks, its pins, its folder. It needs no programs
/// loaded and no matching version, and may find only half of it, or nothing. Call it in the node's network namespace.
///
/// # Errors
/// The kernel refuses; a second call goes on from there.
pub fn destroy(pins: &Pins) -> Result<()> {
    detach(pins, |_| true)?;
    after_dnat::retire(pins, None)?;
    pins.remove()
}

fn detach(datapath: &Pins, chosen: impl Fn(&Pin) -> bool) -> Result<()> {
    for pin in link_pins::list(datapath)?.into_iter().filter(chosen) {
        match pin.kind {
            PinKind::Link => detach_link(&pin.path)?,
            PinKind::Filter(netns) if netns == here()? => remove_filter(pin.place)?,
            // Filters in another namespace go with its interfaces.
            PinKind::Filter(_) => {}
        }
        pin.forget()?;
    }
    Ok(())
}

fn remove_filter(place: Place) -> Result<()> {
    let Some(name) = name_of(place.ifindex)? else { return Ok(()) };
    let link = SchedClassifierLink::attached(&name, place.hook(), PRIORITY, HANDLE, None)?;
    match aya::programs::links::Link::detach(link) {
        Err(error) if !matches!(errno(&error), Some(Errno::ENOENT | Errno::EINVAL | Errno::ENODEV)) => {
            Err(error).with_context(|| format!("cannot remove the filter from {name}"))
        }
        _ => Ok(()),
    }
}

fn check_name(ifindex: u32, name: &str) -> Result<()> {
    match if_nametoindex(name) {
        Ok(found) if found == ifindex => Ok(()),
        Ok(found) => bail!("{name} is now interface {found}"),
        Err(error) => Err(error).with_context(|| format!("{name} is gone")),
    }
}

/// `None` where there is no such interface.
fn name_of(ifindex: u32) -> Result<Option<String>> {
    match if_indextoname(ifindex) {
        Ok(name) => Ok(Some(name.to_string_lossy().into_owned())),
        Err(Errno::ENXIO | Errno::ENODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look for interface {ifindex}")),
    }
}

/// The error number behind an error of the loader.
fn errno(error: &ProgramError) -> Option<Errno> {
    let raw = match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::NetlinkError(error) | ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
        ProgramError::TcError(TcError::IoError(error)) | ProgramError::IOError(error) => error.raw_os_error(),
        _ => None,
    };
    raw.map(Errno::from_raw)
}
