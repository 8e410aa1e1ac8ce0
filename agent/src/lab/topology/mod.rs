//! The lab's network: a node, the world behind its uplink, and pods, each a network namespace.
//!
//! Knows interfaces, addresses and routes; nothing of policy. Everything that it makes is inside the lab's own
//! namespaces, so that removing those removes it.

mod netlink;
mod node;
mod pod;
mod services;
mod sysctl;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use netlink::{Mac, Netlink};
pub use node::{Node, NodePlan};
pub use pod::{Pod, Wire};
pub use services::has_services;

/// How pods are wired to their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Cni {
    /// Each pod on a link of its own, routed by the node (as Calico, AWS VPC CNI, the ptp plugin).
    Ptp,
    /// All pods on one bridge (as the bridge plugin, flannel, kindnet's ancestors).
    Bridge,
}

impl std::fmt::Display for Cni {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ptp => "ptp",
            Self::Bridge => "bridge",
        })
    }
}

/// The gateway of every pod in `ptp` form: the same two addresses on every host veth.
const GATEWAY: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))];

/// The interface inside each pod.
const POD_INTERFACE: &str = "eth0";
const BRIDGE: &str = "cni0";

/// The address as a network of its own: /32 or /128.
fn alone(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// 0.0.0.0/0 or ::/0, of the family of `like`.
fn everywhere(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

/// The bridge's own addresses: the gateway of each pod range.
///
/// # Errors
/// A range is too small to have one.
pub fn bridge_addresses(ranges: &[IpNet]) -> Result<Vec<IpNet>> {
    ranges.iter().map(first_address).collect()
}

/// The gateway in a pod range: its first address.
fn first_address(range: &IpNet) -> Result<IpNet> {
    let room = range.max_prefix_len() - range.prefix_len() >= 2;
    anyhow::ensure!(room, "the pod range {range} has no room for a gateway and a pod");
    let first = match range.network() {
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from(u32::from(network) + 1)),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network) + 1)),
    };
    Ok(IpNet::new(first, range.prefix_len())?)
}
