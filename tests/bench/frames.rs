//! Ethernet frames with a TCP segment inside: as short as the programs need them.

use std::net::IpAddr;

/// The two ends of a TCP flow, and the MAC of the pod's side.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub pod: (IpAddr, u16),
    pub peer: (IpAddr, u16),
    pub pod_mac: [u8; 6],
}

pub const SYN: u8 = 2;
pub const ACK: u8 = 16;

const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What the peer sends to the pod.
pub fn to_pod(ends: &Ends, flags: u8) -> Vec<u8> {
    frame(ends.pod_mac, NODE_MAC, ends.peer, ends.pod, flags)
}

/// What the pod sends to the peer.
pub fn from_pod(ends: &Ends, flags: u8) -> Vec<u8> {
    frame(NODE_MAC, ends.pod_mac, ends.pod, ends.peer, flags)
}

fn frame(to: [u8; 6], from: [u8; 6], source: (IpAddr, u16), destination: (IpAddr, u16), flags: u8) -> Vec<u8> {
    let mut frame = [to, from].concat();
    match (source.0, destination.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            // Version and length, service, 40 bytes in all, id, no fragments, TTL, TCP, checksum.
            frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        (source, destination) => {
            // Version, 20 bytes of payload, TCP, hop limit.
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
            frame.extend(v6(source));
            frame.extend(v6(destination));
        }
    }
    frame.extend(source.1.to_be_bytes());
    frame.extend(destination.1.to_be_bytes());
    // Sequence and acknowledgement numbers, header length, flags, window, checksum, urgent pointer.
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    frame
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
