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
    /// The first bytes of the frame. What lies beyond its end is of no meaning.
    fn head(&self) -> &Head;
    /// `N` bytes at an offset from the start of the frame; `None` where the frame ends before.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
    /// True where the kernel holds a VLAN tag beside the frame.
    fn has_vlan_tag(&self) -> bool;
    /// The interface of the hook, in the node's network namespace.
    fn ifindex(&self) -> u32;
    /// The interface that the packet came in on; 0 for what the node itself sends.
    fn ingress_ifindex(&self) -> u32;
}

/// Enough for Ethernet, the shortest header of either family and a TCP header without options.
pub const HEAD: usize = 80;

/// The first [`HEAD`] bytes of a frame, fetched in one piece because each fetch is a call into the kernel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Head {
    /// Puts the IP header, which comes after 14 bytes, on an even word: else each of its words is four loads.
    lead: [u8; 2],
    pub frame: [u8; HEAD],
    tail: [u8; 6],
}

impl Head {
    pub const EMPTY: Self = Self { lead: [0; 2], frame: [0; HEAD], tail: [0; 6] };

    #[inline(always)]
    pub(crate) fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.frame[offset..offset + N]);
        bytes
    }

    #[inline(always)]
    pub(crate) fn be16(&self, offset: usize) -> u16 {
        u16::from_be_bytes(self.at(offset))
    }
}

/// Length of the Ethernet header.
pub const ETHERNET: u32 = 14;
