//! A connection as the kernel's conntrack has it.

use crate::abi::{Address, NatKey};
use crate::parse::protocol::{ICMP, ICMPV6};

const AF_INET: u16 = 2;
const CONFIRMED: u32 = 1 << 3;

/// A part of `struct nf_conn` (Linux 6.4 to 7.2), from the tuple of its original direction to the low half of `status`.
///
/// A tuple is ten words: the source's address (0–3) and port (4, low half; in the high half the family), the
/// destination's address (5–8) and port (9, low half; protocol in bits 16–23). Addresses and ports are in network byte
/// order; an IPv4 address is the first word of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Connection {
    pub words: [u32; 26],
}

/// The first word of the tuple of the reply direction. The words in between link entries of the kernel's table.
const REPLY: usize = 14;
const STATUS: usize = 24;
const SOURCE: usize = 0;
const DESTINATION: usize = 5;

impl Connection {
    /// The end that opened the connection.
    #[must_use]
    #[inline(always)]
    pub fn opener(&self) -> Address {
        self.address(SOURCE)
    }

    /// The address that it called.
    #[must_use]
    #[inline(always)]
    pub fn called(&self) -> Address {
        self.address(DESTINATION)
    }

    /// The end that answers: the called one but where the call is rewritten.
    #[must_use]
    #[inline(always)]
    pub fn answering(&self) -> Address {
        self.address(REPLY + SOURCE)
    }

    /// The address under which the opener shows up there.
    #[must_use]
    #[inline(always)]
    pub fn shown(&self) -> Address {
        self.address(REPLY + DESTINATION)
    }

    #[must_use]
    #[inline(always)]
    pub fn shown_port(&self) -> u16 {
        self.port(REPLY + DESTINATION)
    }

    #[must_use]
    #[inline(always)]
    pub fn called_port(&self) -> u16 {
        self.port(DESTINATION)
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        (self.words[DESTINATION + 4] >> 16) as u8
    }

    /// False for the first packet of a connection: the kernel enters it when that has passed all hooks.
    #[must_use]
    #[inline(always)]
    pub const fn is_confirmed(&self) -> bool {
        self.words[STATUS] & CONFIRMED != 0
    }

    /// True where the call goes to another address or port than it was made to, whoever rewrote it: NAT or IPVS.
    #[must_use]
    #[inline(always)]
    pub const fn is_rewritten(&self) -> bool {
        let (called, answering) = (DESTINATION, REPLY + SOURCE);
        let addresses = (self.words[called] ^ self.words[answering])
            | (self.words[called + 1] ^ self.words[answering + 1])
            | (self.words[called + 2] ^ self.words[answering + 2])
            | (self.words[called + 3] ^ self.words[answering + 3]);
        // Of ICMP a request has its type where the answer has the identifier.
        let ports = (self.words[called + 4] ^ self.words[answering + 4]) & 0xffff;
        addresses != 0 || (ports != 0 && !self.is_icmp())
    }

    /// True where the answering end sees another address than that of the opener.
    #[must_use]
    #[inline(always)]
    pub const fn hides_opener(&self) -> bool {
        let (opener, shown) = (SOURCE, REPLY + DESTINATION);
        (self.words[opener] ^ self.words[shown])
            | (self.words[opener + 1] ^ self.words[shown + 1])
            | (self.words[opener + 2] ^ self.words[shown + 2])
            | (self.words[opener + 3] ^ self.words[shown + 3])
            != 0
    }

    /// The true ends.
    #[must_use]
    #[inline(always)]
    pub fn ends(&self) -> NatKey {
        let answering = if self.is_icmp() { 0 } else { self.port(REPLY + SOURCE) };
        NatKey::new(self.protocol(), (self.opener(), self.port(SOURCE)), (self.answering(), answering))
    }

    /// A packet that conntrack does not know, as if it had opened a connection that nothing rewrites.
    #[must_use]
    #[inline(always)]
    pub const fn untracked(v4: bool, protocol: u8, [source, destination]: [[u32; 4]; 2], ports: [u16; 2]) -> Self {
        let mut words = [0; 26];
        let family = if v4 { AF_INET } else { 10 };
        let ends = [source, destination];
        let mut word = 0;
        while word < 4 {
            words[SOURCE + word] = ends[0][word];
            words[DESTINATION + word] = ends[1][word];
            words[REPLY + SOURCE + word] = ends[1][word];
            words[REPLY + DESTINATION + word] = ends[0][word];
            word += 1;
        }
        words[SOURCE + 4] = ports[0] as u32 | (family as u32) << 16;
        words[DESTINATION + 4] = ports[1] as u32 | (protocol as u32) << 16;
        words[REPLY + SOURCE + 4] = ports[1] as u32 | (family as u32) << 16;
        words[REPLY + DESTINATION + 4] = ports[0] as u32 | (protocol as u32) << 16;
        words[STATUS] = CONFIRMED;
        Self { words }
    }

    #[inline(always)]
    const fn is_icmp(&self) -> bool {
        matches!(self.protocol(), ICMP | ICMPV6)
    }

    #[inline(always)]
    fn address(&self, at: usize) -> Address {
        if (self.words[SOURCE + 4] >> 16) as u16 == AF_INET {
            Address::v4_word(self.words[at])
        } else {
            Address { words: [self.words[at], self.words[at + 1], self.words[at + 2], self.words[at + 3]] }
        }
    }

    #[inline(always)]
    const fn port(&self, at: usize) -> u16 {
        (self.words[at + 4] as u16).swap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: [u32; 4] = [u32::from_ne_bytes([10, 244, 0, 5]), 0, 0, 0];
    const SERVICE: [u32; 4] = [u32::from_ne_bytes([10, 96, 0, 10]), 0, 0, 0];
    const BACKEND: [u8; 4] = [10, 244, 0, 6];

    fn call(protocol: u8) -> Connection {
        Connection::untracked(true, protocol, [POD, SERVICE], [40000_u16.to_be(), 80_u16.to_be()])
    }

    /// What conntrack has once the call has been led to a backend's port 8080.
    fn led() -> Connection {
        let mut connection = call(6);
        connection.words[REPLY] = u32::from_ne_bytes(BACKEND);
        connection.words[REPLY + 4] = u32::from(8080_u16.to_be()) | u32::from(AF_INET) << 16;
        connection
    }

    #[test]
    fn what_nothing_rewrites_has_the_ends_that_it_was_made_to() {
        let connection = call(17);
        assert!(!connection.is_rewritten() && !connection.hides_opener() && connection.is_confirmed());
        let ends = NatKey::new(17, (Address::v4([10, 244, 0, 5]), 40000), (Address::v4([10, 96, 0, 10]), 80));
        assert_eq!(connection.ends(), ends);
        assert_eq!((connection.called(), connection.called_port()), (ends.destination, 80));
    }

    #[test]
    fn a_rewritten_call_has_the_ends_that_it_was_led_to() {
        let connection = led();
        assert!(connection.is_rewritten() && !connection.hides_opener());
        let ends = NatKey::new(6, (Address::v4([10, 244, 0, 5]), 40000), (Address::v4(BACKEND), 8080));
        assert_eq!(connection.ends(), ends);
        let mut to_another_port = call(6);
        to_another_port.words[REPLY + 4] ^= 1;
        assert!(to_another_port.is_rewritten());
    }

    #[test]
    fn an_opener_is_hidden_where_another_address_is_shown() {
        let mut connection = led();
        connection.words[REPLY + DESTINATION] = u32::from_ne_bytes([192, 168, 77, 1]);
        connection.words[REPLY + DESTINATION + 4] = u32::from(1234_u16.to_be()) | 6 << 16;
        assert!(connection.hides_opener());
        assert_eq!((connection.shown(), connection.shown_port()), (Address::v4([192, 168, 77, 1]), 1234));
        assert_eq!(connection.opener(), Address::v4([10, 244, 0, 5]));
    }

    #[test]
    fn a_ping_is_not_rewritten_for_what_stands_where_others_have_ports() {
        let mut connection = call(ICMP);
        connection.words[REPLY + 4] ^= 0xffff;
        assert!(!connection.is_rewritten());
        assert_eq!(connection.ends().destination_port(), 0);
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let [source, destination] = [[1, 2, 3, 4], [5, 6, 7, 8]];
        let connection = Connection::untracked(false, 6, [source, destination], [0, 0]);
        assert_eq!((connection.opener().words, connection.answering().words), (source, destination));
    }
}
