//! Bytes of the probes: each carries a token, by which its receiver knows it.

/// Which probe a packet is. `run` keeps an earlier run's late packets apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub run: u32,
    pub index: u32,
}

const MAGIC: &[u8; 8] = b"bulkhead";
const SCTP_INIT: u8 = 1;
/// Echo request in ICMP and in ICMPv6.
const ECHO: [u8; 2] = [8, 128];

/// The payload of a UDP datagram, and of an echo request.
pub fn payload(token: Token) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&token.run.to_be_bytes());
    bytes[12..].copy_from_slice(&token.index.to_be_bytes());
    bytes
}

/// An echo request. The kernel fills in the checksum of ICMPv6, not of ICMP.
pub fn echo(token: Token, v6: bool) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0] = ECHO[usize::from(v6)];
    let [_, _, identifier @ ..] = token.index.to_be_bytes();
    let [_, _, sequence @ ..] = token.run.to_be_bytes();
    bytes[4..6].copy_from_slice(&identifier);
    bytes[6..8].copy_from_slice(&sequence);
    bytes[8..].copy_from_slice(&payload(token));
    if !v6 {
        let sum = internet_checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// An SCTP packet with an INIT chunk (RFC 9260 §3.3.2): the token is its initiate tag and its initial TSN.
pub fn sctp_init(token: Token, source_port: u16, port: u16) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&source_port.to_be_bytes());
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes[12] = SCTP_INIT;
    bytes[15] = 20;
    bytes[16..20].copy_from_slice(&token.run.to_be_bytes());
    // A window of 64 KiB, one stream each way.
    bytes[21] = 1;
    bytes[25] = 1;
    bytes[27] = 1;
    bytes[28..].copy_from_slice(&token.index.to_be_bytes());
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The token in a UDP datagram, header included.
pub fn token_of_udp(bytes: &[u8]) -> Option<Token> {
    token_of_payload(bytes.get(8..)?)
}

/// The token in an echo request; replies have none.
pub fn token_of_echo(bytes: &[u8]) -> Option<Token> {
    ECHO.contains(bytes.first()?).then(|| token_of_payload(bytes.get(8..)?)).flatten()
}

/// The token in an SCTP packet.
pub fn token_of_sctp(bytes: &[u8]) -> Option<Token> {
    (*bytes.get(12)? == SCTP_INIT).then_some(())?;
    Some(Token { run: number(bytes, 16)?, index: number(bytes, 28)? })
}

fn token_of_payload(bytes: &[u8]) -> Option<Token> {
    (bytes.get(..8)? == MAGIC).then_some(())?;
    Some(Token { run: number(bytes, 8)?, index: number(bytes, 12)? })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// RFC 1071, over an even number of bytes.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) & 0xffff) as u16
}

/// The checksum of SCTP (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token { run: 0xdead_beef, index: 70_000 };

    #[test]
    fn every_packet_gives_its_token_back() {
        let mut udp = vec![0; 8];
        udp.extend(payload(TOKEN));
        assert_eq!(token_of_udp(&udp), Some(TOKEN));
        assert_eq!(token_of_echo(&echo(TOKEN, false)), Some(TOKEN));
        assert_eq!(token_of_echo(&echo(TOKEN, true)), Some(TOKEN));
        assert_eq!(token_of_sctp(&sctp_init(TOKEN, 40_000, 7777)), Some(TOKEN));
    }

    #[test]
    fn what_is_no_probe_has_no_token() {
        assert_eq!(token_of_udp(b"12345678other"), None);
        let mut reply = echo(TOKEN, false);
        reply[0] = 0;
        assert_eq!(token_of_echo(&reply), None);
        assert_eq!(token_of_sctp(&[0; 12]), None);
    }

    #[test]
    fn checksums_are_those_of_the_rfcs() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(internet_checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
        assert_eq!(internet_checksum(&echo(TOKEN, false)), 0, "a packet with its checksum sums to zero");
    }
}
