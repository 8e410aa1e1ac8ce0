//! What is in a lab.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use policy::model::tenants::Tenancy;
use policy::model::{Config, PodKey, World};
use serde::Serialize;

use super::{Cni, Lab};
use crate::net::NetNs;

/// A lab's namespaces, veths and addresses (CONTRACT.md §5).
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The process that holds the lab: there is none.
    pub pid: Option<u32>,
    pub cni: Cni,
    pub node: NodeEntry,
    pub pods: Vec<PodEntry>,
}

/// The lab's node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeEntry {
    /// Path of the namespace.
    pub netns: String,
    pub ips: Vec<IpAddr>,
}

/// A pod of the lab.
#[derive(Clone, Debug, Serialize)]
pub struct PodEntry {
    pub namespace: String,
    pub name: String,
    /// Path of the namespace.
    pub netns: String,
    pub ips: Vec<IpAddr>,
    /// Of the host side. `None` for a hostNetwork pod, which is in its node's namespace.
    pub veth: Option<String>,
    /// Of the pod's interface.
    pub mac: Option<String>,
    /// `None` for the platform's own.
    pub tenant: Option<String>,
}

impl Lab {
    /// # Errors
    /// The lab's world cannot be made, or one of its namespaces is gone.
    pub fn list(&self) -> Result<Listing> {
        let world = self.world()?;
        let tenants = tenants(&world, &self.settings.policy);
        let pods = world.pods.iter().map(|(key, pod)| {
            let wire = self.state.pods.get(&key.to_string()).map(|pod| &pod.wire);
            let mac = |[a, b, c, d, e, f]: [u8; 6]| format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            Ok(PodEntry {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                netns: path(&self.namespace_of(key)?)?,
                ips: pod.addresses.clone(),
                veth: wire.map(|wire| wire.veth.clone()),
                mac: wire.map(|wire| mac(wire.mac)),
                tenant: tenants.get(key).cloned(),
            })
        });
        let node = NodeEntry { netns: path(&self.name.node())?, ips: self.state.node.clone() };
        Ok(Listing { pid: None, cni: self.state.cni, node, pods: pods.collect::<Result<_>>()? })
    }
}

/// The tenant of every pod that has one, by the name that people read.
pub fn tenants(world: &World, config: &Config) -> BTreeMap<PodKey, String> {
    let tenancy = Tenancy::of(world, config);
    let tenant = |key: &PodKey| {
        let membership = tenancy.membership(world.pods.get(key)?)?;
        Some((key.clone(), tenancy.names().get(membership.tenant?)?.clone()))
    };
    world.pods.keys().filter_map(tenant).collect()
}

fn path(namespace: &str) -> Result<String> {
    Ok(NetNs::named(namespace)?.path().display().to_string())
}
