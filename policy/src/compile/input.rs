//! What a compile starts from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use common::abi::Ticks;

use crate::model::{Config, PodKey, World};

/// Everything that a compile depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub world: &'a World,
    pub config: &'a Config,
    pub node: &'a NodeView,
}

/// What was found on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// The Node object's name.
    pub name: String,
    /// Every address of the node's own interfaces, link-local ones and gateways too, but no Service's.
    pub addresses: BTreeSet<IpAddr>,
    /// Interface indices of bridges whose ports are pods' veths.
    pub bridges: BTreeSet<u32>,
    /// UDP ports of the node's own tunnel devices.
    pub tunnel_ports: BTreeSet<u16>,
    pub endpoints: Vec<Binding>,
}

/// A veth that was bound to a pod, once: nothing here changes while it lives, but for `pod` becoming known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Index in the `ENDPOINT` map.
    pub slot: u32,
    /// Never reused.
    pub id: u32,
    /// The host side of the veth, in the node's network namespace.
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// `None`: not known yet.
    pub pod: Option<PodKey>,
    /// End of the adoption window (DESIGN.md §3.6).
    pub adopt_until: Ticks,
}
