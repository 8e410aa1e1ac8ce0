//! Bytes to flow: Ethernet, ARP, IPv4 with options, IPv6 with extension headers, TCP, UDP, SCTP, ICMP and
//! ICMPv6 with the packet that an error quotes, fragments.
//!
//! Nothing is read beyond the length that the IP header gives, and nothing is assumed about how much of the
//! frame lies in one piece: every byte comes through [`Packet`].

mod arp;
mod datagram;
mod ethernet;
mod icmp;
mod ipv4;
mod ipv6;
mod neighbour;
mod transport;

pub use arp::Arp;
pub use datagram::{Datagram, Fragment, Role, protocol};
pub use ethernet::{Frame, parse};
pub use icmp::{Quoted, quoted};
pub use neighbour::{Neighbour, claims};

/// A frame, and what the kernel knows about it besides its bytes.
pub trait Packet {
    /// Bytes of the frame, Ethernet header included.
    fn length(&self) -> u32;
    /// `N` pairs of bytes at an even offset from the start of the frame, each as it lies in memory; `None` where
    /// the frame ends before.
    fn halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]>;
    /// The same four by four, at an offset that is 2 behind a multiple of 4, as is the IP header's.
    fn words<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]>;
    /// `N` bytes at any offset.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
    /// True where the kernel holds a VLAN tag beside the frame.
    fn has_vlan_tag(&self) -> bool;
    /// The interface of the hook, in the node's network namespace.
    fn ifindex(&self) -> u32;
    /// The interface that the packet came in on; 0 for what the node itself sends.
    fn ingress_ifindex(&self) -> u32;
}

/// A byte of a word that was read as it lies in memory.
#[inline(always)]
const fn byte(word: u32, place: usize) -> u8 {
    word.to_ne_bytes()[place]
}

/// The two numbers in a word, from network to host byte order.
#[inline(always)]
const fn be16(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_ne_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// A MAC address, two bytes at a time as they lie in memory: read, kept and compared in three steps and not in six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Mac(pub [u16; 3]);

impl Mac {
    #[must_use]
    #[inline(always)]
    pub const fn octets(self) -> [u8; 6] {
        let [a, b] = self.0[0].to_ne_bytes();
        let [c, d] = self.0[1].to_ne_bytes();
        let [e, f] = self.0[2].to_ne_bytes();
        [a, b, c, d, e, f]
    }

    /// True for these octets.
    #[must_use]
    #[inline(always)]
    pub const fn is(self, octets: &[u8; 6]) -> bool {
        let [a, b, c, d, e, f] = *octets;
        self.0[0] == u16::from_ne_bytes([a, b])
            && self.0[1] == u16::from_ne_bytes([c, d])
            && self.0[2] == u16::from_ne_bytes([e, f])
    }

    /// The address of a group of receivers, or of all.
    #[must_use]
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & u16::from_be(0x100) != 0
    }
}

/// Length of the Ethernet header.
pub const ETHERNET: u32 = 14;
