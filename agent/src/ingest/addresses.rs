//! The lab's network: its node, and addresses for pods that have none.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The node of pods that name none.
pub const LAB_NODE: &str = "lab";
/// The InternalIPs of that node where no file describes it: outside the pod ranges, as on a real node.
pub const LAB_NODE_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(172, 18, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 2))];
/// Where pods' addresses come from; the pod ranges where no Node names its own.
pub const LAB_POD_RANGES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0), 64)),
];

/// Where the ClusterIPs of Services that name none come from.
pub const LAB_SERVICE_RANGES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112)),
];

/// Hands out addresses of [`LAB_POD_RANGES`], one of each family with the same number.
#[derive(Debug)]
pub(super) struct Pool {
    taken: BTreeSet<IpAddr>,
    next: u16,
}

impl Pool {
    /// The network itself, and the gateway of a lab in bridge form, belong to no pod.
    const FIRST: u16 = 2;

    pub fn new(taken: BTreeSet<IpAddr>) -> Self {
        Self { taken, next: Self::FIRST }
    }

    /// `None` where the range is full.
    pub fn take(&mut self) -> Option<[IpAddr; 2]> {
        // The last address of the range is its broadcast address.
        while self.next < u16::MAX {
            let addresses = LAB_POD_RANGES.map(|range| nth(range, self.next));
            self.next += 1;
            if !addresses.iter().any(|address| self.taken.contains(address)) {
                return Some(addresses);
            }
        }
        None
    }
}

pub(super) fn nth(range: IpNet, number: u16) -> IpAddr {
    match range.network() {
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | u32::from(number))),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | u128::from(number))),
    }
}
