//! Bytes to flow: Ethernet, ARP, IPv4 with options, IPv6 with extension headers, TCP, UDP, SCTP, ICMP and
//! ICMPv6 with the packet that an error quotes, fragments.
//!
//! Nothing is read beyond the length that the IP header gives, and nothing is assumed about how much of the
//! frame lies in one piece: every byte comes through [`Packet`].

mod arp;
mod checksum;
mod datagram;
mod ethernet;
mod icmp;
mod ipv4;
mod ipv6;
mod neighbour;
mod transport;

pub use arp::{Arp, is_bare_arp};
pub use checksum::is_written_over;
pub use datagram::{Datagram, Fragment, Role, protocol};
pub use ethernet::{ETHERTYPE_IPV4, Frame, parse, plain_frame};
pub use icmp::{Quoted, quoted, quoted_ends};
pub use ipv4::plain as plain_v4;
pub use ipv6::plain as plain_v6;
pub use neighbour::{Neighbour, claims};

/// A frame, and what the kernel knows about it besides its bytes.
pub trait Packet {
    /// Bytes of the frame, Ethernet header included.
    fn length(&self) -> u32;
    /// `N` pairs of bytes at an even offset from the start of the frame, each as it lies in memory; `None` where
    /// the frame ends before.
    fn halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]>;
    /// The same four by four.
    fn words<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]>;
    /// As [`Self::halves`], and `None` too where they do not lie in one piece with the start of the frame.
    fn near_halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]>;
    /// As [`Self::words`], likewise.
    fn near<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]>;
    /// `N` bytes at any offset.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
    /// True where the kernel holds a VLAN tag beside the frame.
    fn has_vlan_tag(&self) -> bool;
    /// The way that it came.
    fn arrival(&self) -> Arrival;
    /// The place that a checksum is still to be written to, by the kernel or a device behind it, in bytes from the start of
    /// the frame. `None` where none is.
    fn checksum_place(&self) -> Option<u32>;
    /// Notes on the packet that it passes to be judged behind the node's rewriting.
    fn leave_undecided(&self);
}

/// The way that a packet came to a hook, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The interface of the hook, in the node's network namespace.
    pub ifindex: u32,
    /// The interface that the packet came in on; 0 for what the node itself sends, and for the fragments that it makes
    /// of what it forwards (`ip6_copy_metadata`, Linux 6.18).
    pub ingress_ifindex: u32,
    /// The socket that sent the packet still holds it. What a node forwards has none: `ip_rcv` and `ipv6_rcv` take it
    /// away, and so does putting fragments together.
    pub has_socket: bool,
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

/// Length of the Ethernet header.
pub const ETHERNET: u32 = 14;
