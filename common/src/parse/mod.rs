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
///
/// Two bytes come before them, which puts the IP header, at 14, on a whole word, and the words are words to the
/// compiler too: it would read bytes of unknown alignment one by one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Head {
    words: [u32; Self::WORDS],
}

impl Head {
    const LEAD: usize = 2;
    const WORDS: usize = (Self::LEAD + HEAD).div_ceil(8) * 2;
    pub const EMPTY: Self = Self { words: [0; Self::WORDS] };

    /// Where the frame's bytes go.
    #[inline(always)]
    pub const fn frame(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast::<u8>().wrapping_add(Self::LEAD)
    }

    /// Copies the first bytes of a frame, [`HEAD`] at most.
    pub fn fill(&mut self, frame: &[u8]) {
        for (place, byte) in frame.iter().take(HEAD).enumerate() {
            let mut word = self.words[(place + Self::LEAD) / 4].to_ne_bytes();
            word[(place + Self::LEAD) % 4] = *byte;
            self.words[(place + Self::LEAD) / 4] = u32::from_ne_bytes(word);
        }
    }

    /// Four bytes at an offset that is two behind a multiple of four, in the order of memory.
    #[inline(always)]
    pub(crate) const fn word<const OFFSET: usize>(&self) -> u32 {
        const { assert!((OFFSET + Self::LEAD).is_multiple_of(4)) };
        self.words[(OFFSET + Self::LEAD) / 4]
    }

    #[inline(always)]
    pub(crate) const fn words<const OFFSET: usize, const N: usize>(&self) -> [u32; N] {
        const { assert!((OFFSET + Self::LEAD).is_multiple_of(4)) };
        let mut words = [0; N];
        let mut i = 0;
        while i < N {
            words[i] = self.words[(OFFSET + Self::LEAD) / 4 + i];
            i += 1;
        }
        words
    }

    #[inline(always)]
    pub(crate) const fn byte<const OFFSET: usize>(&self) -> u8 {
        self.words[(OFFSET + Self::LEAD) / 4].to_ne_bytes()[(OFFSET + Self::LEAD) % 4]
    }

    /// Two bytes at an even offset, from network to host byte order.
    #[inline(always)]
    pub(crate) const fn be16<const OFFSET: usize>(&self) -> u16 {
        const { assert!(OFFSET.is_multiple_of(2)) };
        let bytes = self.words[(OFFSET + Self::LEAD) / 4].to_ne_bytes();
        let start = (OFFSET + Self::LEAD) % 4;
        u16::from_be_bytes([bytes[start], bytes[start + 1]])
    }

    /// Four bytes at an offset that is a multiple of four.
    #[inline(always)]
    pub(crate) const fn octets<const OFFSET: usize>(&self) -> [u8; 4] {
        let [_, _, a, b] = self.words[(OFFSET + Self::LEAD) / 4].to_ne_bytes();
        let [c, d, _, _] = self.words[(OFFSET + Self::LEAD) / 4 + 1].to_ne_bytes();
        [a, b, c, d]
    }

    /// A MAC address at an even offset.
    #[inline(always)]
    pub(crate) const fn mac<const OFFSET: usize>(&self) -> [u8; 6] {
        let first = self.words[(OFFSET + Self::LEAD) / 4].to_ne_bytes();
        let second = self.words[(OFFSET + Self::LEAD) / 4 + 1].to_ne_bytes();
        if (OFFSET + Self::LEAD).is_multiple_of(4) {
            [first[0], first[1], first[2], first[3], second[0], second[1]]
        } else {
            [first[2], first[3], second[0], second[1], second[2], second[3]]
        }
    }
}

/// Length of the Ethernet header.
pub const ETHERNET: u32 = 14;
