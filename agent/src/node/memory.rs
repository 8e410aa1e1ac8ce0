//! What survives the agent, in a file under `/run/bulkhead/node/`: it must live exactly as long as the kernel's maps
//! and veths do, which is until the next boot.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ipnet::IpNet;
use jiff::Timestamp;
use policy::compile::Tables;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::discover::{Bindings, Bound};
use crate::files::{RUN, replace};

const FILE: &str = "bindings.json";

/// A folder for the memory of one agent.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Where pods' addresses come from, as the last world said.
    pub ranges: Vec<IpNet>,
    pub bindings: Bindings,
}

/// Whether the agent of this node knows whose veth that is.
///
/// # Errors
/// What it remembers cannot be read.
pub fn is_bound(ifindex: u32) -> Result<bool> {
    let memory = Folder::new(&folder()).load()?;
    Ok(memory.and_then(|memory| memory.bindings.bound.get(&ifindex)?.pod.clone()).is_some())
}

/// Where the agent of this node remembers.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(RUN).join("node")
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// `None` where nothing is remembered, or nothing of use.
    pub(super) fn load(&self) -> Result<Option<Memory>> {
        let path = self.0.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let memory = serde_json::from_slice(&text);
        if let Err(error) = &memory {
            warn!("{} is damaged and not used: {error}", path.display());
        }
        Ok(memory.ok())
    }

    pub(super) fn save(&self, memory: &Memory) -> Result<()> {
        let text = serde_json::to_vec(memory).context("cannot put the bindings into words")?;
        replace(&self.0.join(FILE), &text)
    }
}

impl Memory {
    /// What the maps still tell where the file is lost: everything but whose the veths are.
    pub(super) fn from_kernel(tables: &Tables, names: impl Fn(u32) -> Option<String>, now: Timestamp) -> Self {
        let mut memory = Self::default();
        for (&slot, endpoint) in &tables.endpoints {
            memory.bindings.ids.note(endpoint.id);
            let Some(veth) = names(endpoint.ifindex) else { continue };
            let v4 = (endpoint.v4 != [0; 4]).then(|| endpoint.v4.into());
            let v6 = (endpoint.v6 != [0; 16]).then(|| endpoint.v6.into());
            let bound = Bound {
                slot,
                id: endpoint.id,
                veth,
                mac: endpoint.mac.octets(),
                addresses: v4.into_iter().chain(v6).collect(),
                pod: None,
                since: now,
                adopt_until: endpoint.adopt_until,
                netns: BTreeSet::new(),
            };
            memory.bindings.bound.insert(endpoint.ifindex, bound);
        }
        memory
    }
}
