//! A node that routes between two pods, each on a veth of its own: what a ptp CNI makes.

use std::fs;
use std::net::Ipv4Addr;

use agent::net::NetNs;
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use tests::netns::TestNetNs;

use super::load::Ends;
use crate::worlds::Local;

/// The pods' addresses; the node is `.1` of each.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 2);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 2);

/// One pod's side of things.
#[derive(Debug)]
pub struct Pod {
    pub netns: TestNetNs,
    pub address: Ipv4Addr,
    /// The host side of its veth.
    pub veth: &'static str,
    pub ifindex: u32,
    pub mac: [u8; 6],
}

/// All of it is gone on drop.
#[derive(Debug)]
pub struct Topology {
    pub node: TestNetNs,
    pub client: Pod,
    pub server: Pod,
}

impl Topology {
    /// # Errors
    /// The kernel refuses a namespace, a veth or a route.
    pub fn new() -> Result<Self> {
        let node = TestNetNs::new("bench-node");
        write(&node, "/proc/sys/net/ipv4/ip_forward", "1")?;
        let client = Pod::new(&node, "bench-client", "vclient", CLIENT)?;
        let server = Pod::new(&node, "bench-server", "vserver", SERVER)?;
        Ok(Self { node, client, server })
    }

    pub fn ends(&self) -> Ends<'_> {
        let address = self.server.address;
        Ends { client: &self.client.netns, server: &self.server.netns, address, called: address }
    }

    pub const fn pods(&self) -> [&Pod; 2] {
        [&self.client, &self.server]
    }
}

impl Pod {
    fn new(node: &TestNetNs, label: &str, veth: &'static str, address: Ipv4Addr) -> Result<Self> {
        let netns = TestNetNs::new(label);
        let [a, b, c, _] = address.octets();
        let gateway = Ipv4Addr::new(a, b, c, 1);
        node.ip(&format!("link add {veth} type veth peer name eth0 netns {}", netns.name()));
        node.ip(&format!("addr add {gateway}/24 dev {veth}"));
        node.ip(&format!("link set {veth} up"));
        netns.ip(&format!("addr add {address}/24 dev eth0"));
        netns.ip("link set eth0 up");
        netns.ip(&format!("route add default via {gateway}"));
        let ifindex = node.run(|| if_nametoindex(veth))??;
        // Not /sys/class/net: that shows the namespace that /sys was mounted in.
        let shown = netns.command("ip", "-o link show eth0");
        let mac =
            shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).context("eth0 has no MAC")?;
        Ok(Self { netns, address, veth, ifindex, mac: parse_mac(mac)? })
    }

    /// As the compiler's input has it.
    pub fn local(&self) -> Local {
        let name = if self.address == CLIENT { super::CLIENT } else { super::SERVER };
        Local { name, ifindex: self.ifindex, mac: self.mac, addresses: vec![self.address.into()] }
    }
}

fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<_>, _>>()?;
    bytes.try_into().ok().with_context(|| format!("{text} is no MAC address"))
}

fn write(netns: &NetNs, path: &str, value: &str) -> Result<()> {
    netns.run(|| fs::write(path, value))?.with_context(|| format!("cannot write {path}"))
}
