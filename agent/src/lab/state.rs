//! What is remembered of a lab between commands, as files under `/run/bulkhead/lab-NAME/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use policy::model::PodKey;
use serde::{Deserialize, Serialize};

use super::name::LabName;
use super::topology::{Cni, Wire};
use crate::config::{self, Settings};
use crate::endpoint_ids::EndpointIds;
use crate::files::replace;
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
    /// Policies that a terminating namespace has lost and that stay in force.
    pub kept: Manifests,
    /// `--tenancy`, by its name.
    pub tenancy: Option<String>,
    /// Addresses outside the cluster, owned by the world.
    pub external: Vec<IpAddr>,
    /// The node's own addresses, fixed when it is made.
    pub node: Vec<IpAddr>,
    /// Pods that have a namespace of their own, by `NAMESPACE/NAME`.
    pub pods: BTreeMap<String, PodState>,
    /// Ids of endpoints that have been used; none is used twice.
    pub endpoints_used: EndpointIds,
    /// Numbers of veths that have been used.
    pub veths_used: u32,
}

/// A pod's veth, and what the datapath knows it as.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodState {
    pub key: PodKey,
    pub wire: Wire,
    pub addresses: Vec<IpAddr>,
    pub slot: u32,
    pub endpoint: u32,
}

impl State {
    /// A lab with nothing in it.
    #[must_use]
    pub fn new(cni: Cni, tenancy: Option<String>, external: Vec<IpAddr>) -> Self {
        Self {
            cni,
            manifests: Manifests::default(),
            kept: Manifests::default(),
            tenancy,
            external,
            node: Vec::new(),
            pods: BTreeMap::new(),
            endpoints_used: EndpointIds::default(),
            veths_used: 0,
        }
    }

    /// All that is enforced.
    #[must_use]
    pub fn objects(&self) -> Manifests {
        let mut objects = self.manifests.clone();
        objects.merge(self.kept.clone());
        objects
    }

    /// The addresses that pods have: those that their manifests leave out stay the same.
    #[must_use]
    pub fn assigned(&self) -> Assigned {
        self.pods.values().map(|pod| (pod.key.clone(), pod.addresses.clone())).collect()
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
            settings.policy.mode =
                policy::model::Isolation::named(mode).with_context(|| format!("unknown tenancy mode {mode}"))?;
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
        self.endpoints_used.take(&taken, SLOTS)
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
