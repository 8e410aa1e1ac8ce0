//! UDP ports at which this cluster's nodes open tunnel packets.

use std::collections::BTreeMap;

use common::abi::{TUNNEL_PORTS, tunnel_bit};

use super::NodeView;
use crate::model::Config;

/// Those of every node, of this node's devices, and of the configuration; none where policy decides about tunnels.
pub(super) fn tunnels(config: &Config, node: &NodeView) -> BTreeMap<u32, u64> {
    let mut words = BTreeMap::new();
    if config.allow_tunnels {
        return words;
    }
    for port in TUNNEL_PORTS.iter().chain(&node.tunnel_ports).chain(&config.tunnel_ports) {
        let (word, bit) = tunnel_bit(*port);
        *words.entry(word).or_default() |= bit;
    }
    words
}
