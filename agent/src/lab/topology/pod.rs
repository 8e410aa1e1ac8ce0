//! A pod's namespace and its veth.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::netlink::{End, Route};
use super::{GATEWAY, Mac, Netlink, Node, POD_INTERFACE, alone, everywhere, first_address, sysctl};
use crate::net::NetNs;

/// How a pod is connected: fixed when its namespace is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// The pod's network namespace, in `/run/netns`.
    pub netns: String,
    /// The host side of the veth, in the node's namespace.
    pub veth: String,
    pub ifindex: u32,
    /// Of the pod's interface.
    pub mac: Mac,
}

/// A pod's namespace, open, beside its node.
#[derive(Debug)]
pub struct Pod<'a> {
    node: &'a Node,
    wire: &'a Wire,
    netlink: Netlink,
    /// Interface index of `eth0` inside.
    index: u32,
}

impl Wire {
    /// Makes the namespace and the veth, down at both ends. `number` is unique in the lab and names both.
    ///
    /// # Errors
    /// The name is taken, or the kernel refuses.
    pub async fn create(node: &Node, netns: String, number: u32) -> Result<Self> {
        let namespace = NetNs::create(&netns)?;
        sysctl::host(&namespace)?;
        let [_, a, b, c] = number.to_be_bytes();
        let (veth, mac) = (format!("pod{number}"), [0x02, 0xb1, 0, a, b, c]);
        let near = End { name: &veth, mac: [0x02, 0xb1, 1, a, b, c] };
        node.netlink.add_veth(&near, &End { name: POD_INTERFACE, mac }, &namespace).await?;
        let ifindex = node.netlink.index_of(&veth).await?;
        if let Some(bridge) = node.bridge {
            node.netlink.join_bridge(ifindex, bridge).await?;
        }
        Ok(Self { netns, veth, ifindex, mac })
    }
}

impl<'a> Pod<'a> {
    /// # Errors
    /// The namespace or its interface is gone.
    pub async fn open(node: &'a Node, wire: &'a Wire) -> Result<Self> {
        let netlink = Netlink::open(&NetNs::named(&wire.netns)?)?;
        let index = netlink.index_of(POD_INTERFACE).await?;
        Ok(Self { node, wire, netlink, index })
    }

    /// Sets both ends up, and gives the pod its addresses and its way out.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn connect(&self, addresses: &[IpAddr], ranges: &[IpNet], node: &[IpAddr]) -> Result<()> {
        self.netlink.set_up(self.netlink.index_of("lo").await?).await?;
        self.netlink.set_up(self.index).await?;
        self.node.netlink.set_up(self.wire.ifindex).await?;
        for address in addresses {
            match self.node.bridge {
                None => self.route_alone(*address, node).await?,
                Some(bridge) => self.route_on_bridge(bridge, *address, ranges).await?,
            }
        }
        Ok(())
    }

    /// Takes addresses away, with the node's routes to them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn disconnect(&self, addresses: &[IpAddr]) -> Result<()> {
        for address in addresses {
            self.netlink.remove_address(self.index, *address).await?;
            let device = self.node.bridge.unwrap_or(self.wire.ifindex);
            self.node.netlink.remove_route(alone(*address), device).await?;
        }
        Ok(())
    }

    /// Forgets where an address was, because it may be somewhere else now.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn forget(&self, address: IpAddr) -> Result<()> {
        self.netlink.forget_neighbour(self.index, address).await
    }

    /// `ptp`: the pod alone on its link, with the node's gateway address at the other end.
    async fn route_alone(&self, address: IpAddr, node: &[IpAddr]) -> Result<()> {
        let same_family = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
        let host = &self.node.netlink;
        for gateway in GATEWAY.iter().filter(same_family) {
            let prefix = if gateway.is_ipv4() { 32 } else { 64 };
            host.add_address(self.wire.ifindex, IpNet::new(*gateway, prefix)?).await?;
            self.netlink.add_address(self.index, alone(address)).await?;
            self.default_route(address, *gateway).await?;
        }
        let source = node.iter().find(same_family).copied();
        host.add_route(&Route { to: alone(address), device: self.wire.ifindex, via: None, source }).await
    }

    /// `bridge`: the whole pod range is on the link. An address outside of all ranges has a route of its own, by way
    /// of the node.
    async fn route_on_bridge(&self, bridge: u32, address: IpAddr, ranges: &[IpNet]) -> Result<()> {
        let home = ranges.iter().find(|range| range.contains(&address));
        let prefix = home.map_or(alone(address).prefix_len(), IpNet::prefix_len);
        self.netlink.add_address(self.index, IpNet::new(address, prefix)?).await?;
        if home.is_none() {
            let route = Route { to: alone(address), device: bridge, via: None, source: None };
            self.node.netlink.add_route(&route).await?;
        }
        let same_family = ranges.iter().find(|range| range.addr().is_ipv4() == address.is_ipv4());
        let gateway = home.or(same_family).with_context(|| format!("no pod range has a gateway for {address}"))?;
        self.default_route(address, first_address(gateway)?.addr()).await
    }

    async fn default_route(&self, address: IpAddr, gateway: IpAddr) -> Result<()> {
        let to = everywhere(address);
        let route = Route { to, device: self.index, via: Some(gateway), source: Some(address) };
        self.netlink.add_route(&route).await
    }
}
