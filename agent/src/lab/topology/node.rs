//! The node's namespace, the world behind its uplink, and in `bridge` form the bridge.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::netlink::{End, Route};
use super::{BRIDGE, Cni, GATEWAY, Mac, Netlink, alone, bridge_addresses, everywhere, sysctl};
use crate::net::NetNs;

const UPLINK: &str = "uplink";
const UPLINK_MAC: Mac = [0x02, 0xb1, 0xff, 0, 0, 1];
const WORLD_MAC: Mac = [0x02, 0xb1, 0xff, 0, 0, 2];
const BRIDGE_MAC: Mac = [0x02, 0xb1, 0xff, 0, 0, 3];

/// What a node and its world are made from.
#[derive(Debug)]
pub struct NodePlan<'a> {
    pub cni: Cni,
    /// The node's own addresses, on its uplink.
    pub addresses: &'a [IpAddr],
    /// Where pods' addresses come from.
    pub ranges: &'a [IpNet],
    /// Addresses outside the cluster, owned by the world.
    pub external: &'a [IpAddr],
}

/// The node's namespace, open.
#[derive(Debug)]
pub struct Node {
    pub namespace: NetNs,
    pub netlink: Netlink,
    /// Interface index of the bridge, in `bridge` form.
    pub bridge: Option<u32>,
}

impl Node {
    /// Makes both namespaces and what is between them.
    ///
    /// # Errors
    /// A name is taken, or the kernel refuses.
    pub async fn create(node: &str, world: &str, plan: &NodePlan<'_>) -> Result<Self> {
        let namespace = NetNs::create(node)?;
        let outside = NetNs::create(world)?;
        sysctl::router(&namespace)?;
        sysctl::host(&outside)?;
        let netlink = Netlink::open(&namespace)?;
        let far = Netlink::open(&outside)?;
        for loopback in [&netlink, &far] {
            loopback.set_up(loopback.index_of("lo").await?).await?;
        }
        let ends = (End { name: UPLINK, mac: UPLINK_MAC }, End { name: UPLINK, mac: WORLD_MAC });
        netlink.add_veth(&ends.0, &ends.1, &outside).await?;
        let index = netlink.index_of(UPLINK).await?;
        connect(&netlink, index, plan.addresses).await?;
        let far_index = far.index_of(UPLINK).await?;
        connect(&far, far_index, plan.external).await?;
        route_back(&far, far_index, plan.addresses).await?;
        let bridge = match plan.cni {
            Cni::Ptp => None,
            Cni::Bridge => Some(make_bridge(&netlink, plan.ranges).await?),
        };
        Ok(Self { namespace, netlink, bridge })
    }

    /// Opens the node of a lab that is up.
    ///
    /// # Errors
    /// It has no such namespace.
    pub async fn open(node: &str, cni: Cni) -> Result<Self> {
        let namespace = NetNs::named(node)?;
        let netlink = Netlink::open(&namespace)?;
        let bridge = match cni {
            Cni::Ptp => None,
            Cni::Bridge => Some(netlink.index_of(BRIDGE).await?),
        };
        Ok(Self { namespace, netlink, bridge })
    }
}

/// Gives an end of the uplink its addresses and sends everything else out of it.
async fn connect(netlink: &Netlink, index: u32, addresses: &[IpAddr]) -> Result<()> {
    netlink.set_up(index).await?;
    for address in addresses {
        netlink.add_address(index, alone(*address)).await?;
    }
    for gateway in GATEWAY {
        let source = addresses.iter().copied().find(|address| address.is_ipv4() == gateway.is_ipv4());
        netlink.add_route(&Route { to: everywhere(gateway), device: index, via: None, source }).await?;
    }
    Ok(())
}

/// From the world everything goes by way of the node: only it knows where pods are.
async fn route_back(world: &Netlink, device: u32, node: &[IpAddr]) -> Result<()> {
    for address in node {
        let to = everywhere(*address);
        world.add_route(&Route { to, device, via: Some(*address), source: None }).await?;
    }
    Ok(())
}

async fn make_bridge(netlink: &Netlink, ranges: &[IpNet]) -> Result<u32> {
    let index = netlink.add_bridge(&End { name: BRIDGE, mac: BRIDGE_MAC }).await?;
    netlink.set_up(index).await?;
    for gateway in bridge_addresses(ranges)? {
        netlink.add_address(index, gateway).await?;
    }
    Ok(index)
}
