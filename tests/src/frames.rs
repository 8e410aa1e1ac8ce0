//! Frames, byte by byte. Lengths are filled in; of checksums only that of IPv4's header, which nodes look at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SCTP: u8 = 132;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;

pub const BROADCAST: [u8; 6] = [0xff; 6];

/// The two ends of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub source_mac: [u8; 6],
    pub destination_mac: [u8; 6],
    pub source: IpAddr,
    pub destination: IpAddr,
}

impl Ends {
    /// The same in the other direction.
    #[must_use]
    pub const fn back(&self) -> Self {
        Self {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: self.destination,
            destination: self.source,
        }
    }

    /// A frame of the family of both addresses with a whole transport packet.
    ///
    /// # Panics
    /// Where the addresses are of two families.
    #[must_use]
    pub fn ip(&self, protocol: u8, transport: &[u8]) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let packet = ipv4(&Ipv4 { protocol, ..Ipv4::new(source, destination) }, transport);
                self.ethernet(0x0800, &packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ethernet(0x86dd, &ipv6(source, destination, 64, protocol, transport))
            }
            _ => panic!("{} and {} are of two families", self.source, self.destination),
        }
    }

    #[must_use]
    pub fn tcp(&self, source_port: u16, destination_port: u16, flags: u8) -> Vec<u8> {
        self.ip(TCP, &tcp(source_port, destination_port, flags))
    }

    #[must_use]
    pub fn udp(&self, source_port: u16, destination_port: u16) -> Vec<u8> {
        self.ip(UDP, &udp(source_port, destination_port, b"data"))
    }

    /// One chunk: 1 INIT, 2 INIT ACK, 0 DATA.
    #[must_use]
    pub fn sctp(&self, source_port: u16, destination_port: u16, chunk: u8) -> Vec<u8> {
        self.ip(SCTP, &sctp(source_port, destination_port, chunk))
    }

    /// An echo request or reply of the family.
    #[must_use]
    pub fn echo(&self, request: bool, id: u16) -> Vec<u8> {
        let (protocol, kind) = match (self.source.is_ipv4(), request) {
            (true, true) => (ICMP, 8),
            (true, false) => (ICMP, 0),
            (false, true) => (ICMPV6, 128),
            (false, false) => (ICMPV6, 129),
        };
        let [high, low] = id.to_be_bytes();
        self.ip(protocol, &[kind, 0, 0, 0, high, low, 0, 1, b'p', b'i', b'n', b'g'])
    }

    /// An ICMP error that quotes the IP packet of `frame`.
    #[must_use]
    pub fn error(&self, kind: u8, frame: &[u8]) -> Vec<u8> {
        let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        body.extend(&frame[14..]);
        self.ip(if self.source.is_ipv4() { ICMP } else { ICMPV6 }, &body)
    }

    #[must_use]
    pub fn ethernet(&self, ether_type: u16, payload: &[u8]) -> Vec<u8> {
        ethernet(self.source_mac, self.destination_mac, ether_type, payload)
    }
}

#[must_use]
pub fn ethernet(source: [u8; 6], destination: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ether_type.to_be_bytes(), payload].concat()
}

/// The fields of an IPv4 header that tests vary.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    /// Padded to words by the caller.
    pub options: Vec<u8>,
    pub id: u16,
    pub more_fragments: bool,
    /// In units of 8 bytes.
    pub fragment_offset: u16,
}

impl Ipv4 {
    #[must_use]
    pub const fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            source,
            destination,
            protocol: TCP,
            options: Vec::new(),
            id: 7,
            more_fragments: false,
            fragment_offset: 0,
        }
    }
}

/// # Panics
/// Where the packet is longer than IPv4 can say.
#[must_use]
pub fn ipv4(header: &Ipv4, payload: &[u8]) -> Vec<u8> {
    let words = 5 + header.options.len() / 4;
    let total = u16::try_from(words * 4 + payload.len()).expect("a packet's length");
    let fragment = header.fragment_offset | if header.more_fragments { 0x2000 } else { 0 };
    let mut packet = vec![0x40 | u8::try_from(words).expect("at most 15 words"), 0];
    packet.extend(total.to_be_bytes());
    packet.extend(header.id.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, header.protocol, 0, 0]);
    packet.extend(header.source.octets());
    packet.extend(header.destination.octets());
    packet.extend(&header.options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// RFC 1071, over an even number of bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) & 0xffff) as u16
}

/// # Panics
/// Where the packet is longer than IPv6 can say.
#[must_use]
pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a packet's length");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An extension header of 8 bytes before `payload`.
#[must_use]
pub fn extension(next: u8, payload: &[u8]) -> Vec<u8> {
    [&[next, 0, 0, 0, 0, 0, 0, 0], payload].concat()
}

/// A fragment header; the offset is in units of 8 bytes.
#[must_use]
pub fn fragment_header(next: u8, offset: u16, more: bool, id: u32, payload: &[u8]) -> Vec<u8> {
    let place = offset << 3 | u16::from(more);
    [&[next, 0][..], &place.to_be_bytes(), &id.to_be_bytes(), payload].concat()
}

#[must_use]
pub fn tcp(source_port: u16, destination_port: u16, flags: u8) -> Vec<u8> {
    let mut segment = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
    segment.extend([0; 8]);
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

/// # Panics
/// Where the datagram is longer than UDP can say.
#[must_use]
pub fn udp(source_port: u16, destination_port: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("a datagram's length");
    let mut datagram = [source_port, destination_port, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(data);
    datagram
}

#[must_use]
pub fn sctp(source_port: u16, destination_port: u16, chunk: u8) -> Vec<u8> {
    let mut packet = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
    packet.extend([0; 8]);
    packet.extend([chunk, 0, 0, 20]);
    packet.extend([0; 16]);
    packet
}

/// An ARP request (1) or reply (2).
#[must_use]
pub fn arp(operation: u8, mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend(mac);
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    ethernet(mac, BROADCAST, 0x0806, &packet)
}

/// A neighbour solicitation (135) or advertisement (136) of `target`, with the link-layer address that it claims.
#[must_use]
pub fn neighbour(ends: &Ends, kind: u8, target: Ipv6Addr, claimed_mac: [u8; 6]) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, 0x60, 0, 0, 0];
    body.extend(target.octets());
    body.extend([if kind == 136 { 2 } else { 1 }, 1]);
    body.extend(claimed_mac);
    with_hop_limit(ends, 255, &body)
}

/// An ICMPv6 packet with a hop limit of its own.
///
/// # Panics
/// Where the addresses are not IPv6.
#[must_use]
pub fn with_hop_limit(ends: &Ends, hop_limit: u8, body: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ends.source, ends.destination) else {
        panic!("neighbour discovery is IPv6")
    };
    ends.ethernet(0x86dd, &ipv6(source, destination, hop_limit, ICMPV6, body))
}
