//! What is remembered of a lab between commands, as files under `/run/bulkhead/lab-NAME/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use policy::model::PodKey;
use serde::{Deserialize, Serialize};

use super::name::LabName;
use super::topology::{Cni, Wire};
use crate::config::{self, Settings};
use crate::ingest::{Assigned, Manifests};

const STATE: &str = "state.json";
const CONFIG: &str = "config.yaml";
/// What the `ENDPOINT` map has room for.
const SLOTS: u32 = 1024;

/// A lab that is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    pub cni: Cni,
    pub manifests: Manifests,
    /// `--tenancy`, by its name.
    pub tenancy: Option<String>,
    /// Addresses outside the cluster, owned by the world.
    pub external: Vec<IpAddr>,
    /// The node's own addresses, fixed when it is made.
    pub node: Vec<IpAddr>,
    /// Pods that have a namespace of their own, by `NAMESPACE/NAME`.
    pub pods: BTreeMap<String, PodState>,
    /// Ids of endpoints that have been used; none is used twice.
    pub endpoints_used: u32,
    /// Numbers of veths that have been used.
    pub veths_used: u32,
}

/// A pod's veth, and what the datapath knows it as.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodState {
    pub key: Key,
    pub wire: Wire,
    pub addresses: Vec<IpAddr>,
    pub slot: u32,
    pub endpoint: u32,
}

/// A [`PodKey`], in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl From<&Key> for PodKey {
    fn from(key: &Key) -> Self {
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl From<&PodKey> for Key {
    fn from(key: &PodKey) -> Self {
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl State {
    /// A lab with nothing in it.
    #[must_use]
    pub fn new(cni: Cni, tenancy: Option<String>, external: Vec<IpAddr>) -> Self {
        Self {
            cni,
            manifests: Manifests::default(),
            tenancy,
            external,
            node: Vec::new(),
            pods: BTreeMap::new(),
            endpoints_used: 0,
            veths_used: 0,
        }
    }

    /// The addresses that pods have: those that their manifests leave out stay the same.
    #[must_use]
    pub fn assigned(&self) -> Assigned {
        self.pods.values().map(|pod| ((&pod.key).into(), pod.addresses.clone())).collect()
    }

    /// True where a lab of that name is up, or was and left something behind.
    ///
    /// # Errors
    /// The folder of namespaces cannot be read.
    pub fn exists(lab: &LabName) -> Result<bool> {
        Ok(lab.folder().exists() || !lab.namespaces()?.is_empty() || lab.pins()?.exist())
    }

    /// # Errors
    /// No lab of that name is up.
    pub fn load(lab: &LabName) -> Result<Self> {
        let path = lab.folder().join(STATE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                anyhow::bail!("no lab {lab} is up: `bulkhead lab up --name {lab} -f …` brings one up")
            }
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: `bulkhead lab down --name {lab}` removes the lab", path.display()))
    }

    /// Writes everything, or nothing.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn save(&self, lab: &LabName) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("cannot put the lab's state into words")?;
        replace(&lab.folder().join(STATE), &text)
    }

    /// Keeps a copy of the configuration file that the lab was brought up with.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn keep_config(lab: &LabName, file: &Path) -> Result<()> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        replace(&lab.folder().join(CONFIG), &text)
    }

    /// The configuration that the lab was brought up with.
    ///
    /// # Errors
    /// The copy is damaged.
    pub fn settings(&self, lab: &LabName) -> Result<Settings> {
        let file = lab.folder().join(CONFIG);
        let mut settings = if file.exists() { config::read(&file)? } else { Settings::default() };
        if let Some(mode) = &self.tenancy {
            settings.policy.mode = config::parse_mode(mode).with_context(|| format!("unknown tenancy mode {mode}"))?;
        }
        Ok(settings)
    }

    /// An endpoint id that was never used, and a slot that is free and was not freed lately.
    /// Slots of pods that are not in the state yet are `reserved`.
    ///
    /// # Errors
    /// There are as many pods as the datapath has room for.
    pub fn new_endpoint(&mut self, reserved: impl Iterator<Item = u32>) -> Result<(u32, u32)> {
        let taken: BTreeSet<u32> = self.pods.values().map(|pod| pod.slot).chain(reserved).collect();
        ensure!(taken.len() < SLOTS as usize, "a lab has room for {SLOTS} pods");
        self.endpoints_used = self.endpoints_used.checked_add(1).context("all endpoint ids have been used")?;
        let first = self.endpoints_used % SLOTS;
        let slot = (first..SLOTS).chain(0..first).find(|slot| !taken.contains(slot));
        Ok((self.endpoints_used, slot.context("no slot is free")?))
    }

    /// A number for a veth that was never used.
    pub fn new_veth(&mut self) -> u32 {
        self.veths_used += 1;
        self.veths_used
    }
}

/// Removes the state of a lab. None there is no error.
///
/// # Errors
/// The folder cannot be removed.
pub fn forget(lab: &LabName) -> Result<()> {
    let folder = lab.folder();
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Readers see the old file or the new one, never a part.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
