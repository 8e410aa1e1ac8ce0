//! What is in a lab.

use std::collections::BTreeMap;
use std::fmt::Write as _;
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
    pid: Option<u32>,
    cni: Cni,
    node: NodeEntry,
    pods: Vec<PodEntry>,
}

#[derive(Clone, Debug, Serialize)]
struct NodeEntry {
    /// Path of the namespace.
    netns: String,
    ips: Vec<IpAddr>,
}

#[derive(Clone, Debug, Serialize)]
struct PodEntry {
    namespace: String,
    name: String,
    netns: String,
    ips: Vec<IpAddr>,
    /// `None` for a hostNetwork pod, which is in its node's namespace.
    veth: Option<String>,
    mac: Option<String>,
    /// `None` for the platform's own.
    tenant: Option<String>,
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

impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let join = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        writeln!(f, "node  {}  {}  ({} form)", join(&self.node.ips), self.node.netns, self.cni)?;
        let head = ["POD", "TENANT", "ADDRESSES", "VETH", "NETNS"].map(str::to_owned);
        let mut rows = vec![head];
        rows.extend(self.pods.iter().map(|pod| {
            let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let name = format!("{}/{}", pod.namespace, pod.name);
            [name, or_dash(&pod.tenant), join(&pod.ips), or_dash(&pod.veth), pod.netns.clone()]
        }));
        let widths = [0, 1, 2, 3].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                write!(line, "{cell:<width$}  ")?;
            }
            writeln!(f, "{line}{}", row[4])?;
        }
        Ok(())
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
