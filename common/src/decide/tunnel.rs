//! Tunnels: what the machine at the other end would open, with a sender inside that nobody has checked.

use super::Tables;
use crate::abi::{Peer, PeerKind, PortKey};
use crate::parse::protocol::{GRE, IPIP, IPV6, L2TP, MPLS, UDP};

/// True for a tunnel packet that may not leave a pod. `port` and `peer` are where it goes in the end.
#[inline(always)]
pub fn is_refused<T: Tables>(tables: &T, port: PortKey, peer: Peer) -> bool {
    leads_astray(port, peer, |port| tables.is_tunnel_port(port)) && tables.settings().allow_tunnels == 0
}

/// True for a tunnel packet to what is no known pod: a node may open it, and a node may have addresses that nobody lists.
/// Pods in their own network namespaces open tunnels for themselves alone.
#[inline(always)]
pub fn leads_astray(port: PortKey, peer: Peer, is_tunnel_port: impl Fn(u16) -> bool) -> bool {
    // What Linux opens for whoever sends it. ESP, AH and WireGuard are not among it: there only who has the key is heard.
    let is_tunnel = match port.protocol() {
        UDP => is_tunnel_port(port.port()),
        IPIP | IPV6 | GRE | L2TP | MPLS => true,
        _ => false,
    };
    is_tunnel && !matches!(peer.kind(), PeerKind::Pod | PeerKind::LocalPod)
}
