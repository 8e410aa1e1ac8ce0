//! Which pods a world has on the lab's node, at which addresses; refuses what one node cannot be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use ipnet::IpNet;
use policy::model::{Config, PodKey, World};

use super::topology::{Cni, bridge_addresses};

/// The lab as a world wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The Node that all pods are on.
    pub node: String,
    pub node_addresses: Vec<IpAddr>,
    /// Where pods' addresses come from.
    pub ranges: Vec<IpNet>,
    /// Pods that get a namespace of their own: all but hostNetwork pods.
    pub pods: BTreeMap<PodKey, Vec<IpAddr>>,
}

impl Roster {
    /// # Errors
    /// Pods on two nodes, or an address that two owners want.
    pub fn of(world: &World, config: &Config, cni: Cni, external: &[IpAddr]) -> Result<Self> {
        let node = the_node(world)?;
        let node_addresses = world.nodes.get(&node).map(|node| node.addresses.clone()).unwrap_or_default();
        let ranges = IpNet::aggregate(&world.pod_ranges(config));
        let pods = world.pods.iter().filter(|(_, pod)| !pod.host_network);
        let pods = pods.map(|(key, pod)| (key.clone(), pod.addresses.clone())).collect();
        let roster = Self { node, node_addresses, ranges, pods };
        roster.check_addresses(cni, external)?;
        Ok(roster)
    }

    fn check_addresses(&self, cni: Cni, external: &[IpAddr]) -> Result<()> {
        let mut owners: BTreeMap<IpAddr, String> = BTreeMap::new();
        let mut claim = |address: IpAddr, owner: String| {
            if let Some(other) = owners.insert(address, owner.clone()) {
                anyhow::bail!("{address} belongs to {other} and to {owner}: give one of them another address");
            }
            Ok(())
        };
        for address in &self.node_addresses {
            claim(*address, format!("node {}", self.node))?;
        }
        if cni == Cni::Bridge {
            for gateway in bridge_addresses(&self.ranges)? {
                claim(gateway.addr(), "the bridge, as the pods' gateway,".to_owned())?;
            }
        }
        for address in external {
            let range = self.ranges.iter().find(|range| range.contains(address));
            let range = range.map(ToString::to_string).unwrap_or_default();
            ensure!(range.is_empty(), "--external {address} lies in the pod range {range}, where only pods live");
            claim(*address, format!("--external {address}"))?;
        }
        for (key, addresses) in &self.pods {
            addresses.iter().try_for_each(|address| claim(*address, format!("pod {key}")))?;
        }
        Ok(())
    }
}

/// The Node that all pods are on.
pub fn the_node(world: &World) -> Result<String> {
    let mut nodes: BTreeMap<&str, &PodKey> = BTreeMap::new();
    for (key, pod) in &world.pods {
        nodes.entry(&pod.node).or_insert(key);
    }
    let mut nodes = nodes.into_iter();
    let first = nodes.next();
    if let (Some((a, x)), Some((b, y))) = (first, nodes.next()) {
        anyhow::bail!("a lab has one node, but pod {x} is on {a} and pod {y} on {b}: leave spec.nodeName out");
    }
    let named = first.map(|(node, _)| node.to_owned()).or_else(|| world.nodes.keys().next().cloned());
    Ok(named.unwrap_or_default())
}
