//! The folder of links: which file stands for which hook of which interface.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use aya::programs::TcAttachType;
use common::abi::Direction;

use super::links::Hook;
use super::{Pins, after_dnat};

/// A hook of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    pub(super) direction: Direction,
}

impl Place {
    /// What a pod sends comes *in* at the host side of its veth.
    pub(super) const fn hook(self) -> TcAttachType {
        match self.direction {
            Direction::Egress => TcAttachType::Ingress,
            Direction::Ingress => TcAttachType::Egress,
        }
    }

    pub(super) fn link(self, pins: &Pins) -> PathBuf {
        pins.links().join(format!("{}-{}", self.ifindex, self.direction.name()))
    }

    pub(super) fn marker(self, pins: &Pins, netns: u64) -> PathBuf {
        pins.links().join(format!("{}-{}-filter-{netns}", self.ifindex, self.direction.name()))
    }
}

/// An entry of the folder of links.
pub(super) struct Pin {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) kind: PinKind,
}

pub(super) enum PinKind {
    Link,
    /// By the inode of its network namespace: elsewhere the interface index means another interface.
    Filter(u64),
}

impl PinKind {
    pub(super) const fn hook(&self) -> Hook {
        match self {
            Self::Link => Hook::Tcx,
            Self::Filter(_) => Hook::Clsact,
        }
    }
}

impl Pin {
    fn parse(path: PathBuf) -> Option<Self> {
        let mut parts = path.file_name()?.to_str()?.splitn(3, '-');
        let ifindex = parts.next()?.parse().ok()?;
        let direction = parts.next()?;
        let direction = Direction::ALL.into_iter().find(|d| d.name() == direction)?;
        let kind = match parts.next() {
            None => PinKind::Link,
            Some(rest) => PinKind::Filter(rest.strip_prefix("filter-")?.parse().ok()?),
        };
        Some(Self { path, place: Place { ifindex, direction }, kind })
    }

    pub(super) fn forget(&self) -> Result<()> {
        let removed = match self.kind {
            PinKind::Link => fs::remove_file(&self.path),
            PinKind::Filter(_) => fs::remove_dir(&self.path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Of the veths' hooks.
pub(super) fn list(pins: &Pins) -> Result<Vec<Pin>> {
    let folder = pins.links();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let is_of_veth = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_none_or(|name| !name.starts_with(after_dnat::PREFIX))
    };
    entries
        .map(|entry| anyhow::Ok(entry.with_context(|| format!("cannot read {}", folder.display()))?.path()))
        .filter(|path| path.as_ref().map_or(true, is_of_veth))
        .map(|path| {
            let path = path?;
            Pin::parse(path.clone()).with_context(|| format!("{} is not a link of ours: remove it", path.display()))
        })
        .collect()
}

impl Pins {
    /// Whether both programs are pinned to an interface of this network namespace.
    ///
    /// # Errors
    /// The folder of links cannot be read.
    pub fn has_both_programs(&self, ifindex: u32) -> Result<bool> {
        let netns = here()?;
        let has = |direction| {
            let place = Place { ifindex, direction };
            place.link(self).exists() || place.marker(self, netns).exists()
        };
        Ok(Direction::ALL.into_iter().all(has))
    }
}

/// The network namespace of this thread, by inode.
pub(super) fn here() -> Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/net").context("cannot tell the network namespace")?.ino())
}
