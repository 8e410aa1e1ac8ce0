//! Bytes to flow: what is read of well-formed packets, and that nothing is assumed about the others.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::abi::{Address, DropReason};
use common::parse::{Datagram, Fragment, Frame, Packet as _, Quoted, Role, parse, quoted};
use proptest::prelude::*;
use tests::frames::{self, ACK, Ends, ICMP, Ipv4, SYN, TCP, UDP};
use tests::host::HostFrame;

const V4: Ends = Ends {
    source_mac: [2, 0, 0, 0, 0, 1],
    destination_mac: [2, 0, 0, 0, 0, 2],
    source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    destination: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
};
const V6: Ends = Ends {
    source: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    destination: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    ..V4
};

fn read(bytes: Vec<u8>) -> Result<Datagram, DropReason> {
    let (mut frame, mut datagram) = (Frame::EMPTY, Datagram::EMPTY);
    parse(&HostFrame::new(bytes, 1, 0), &mut frame, &mut datagram).map(|()| datagram)
}

fn v4_packet(header: &Ipv4, payload: &[u8]) -> Vec<u8> {
    V4.ethernet(0x0800, &frames::ipv4(header, payload))
}

fn v4_header() -> Ipv4 {
    Ipv4::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
}

fn v6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    V6.ip(next, payload)
}

#[test]
fn reads_both_families_and_every_transport() {
    for ends in [V4, V6] {
        let syn = read(ends.tcp(40000, 80, SYN)).unwrap();
        assert_eq!((syn.source_port, syn.destination_port, syn.role), (40000, 80, Role::Opens));
        assert_eq!(syn.source, Address::from(ends.source));
        assert_eq!(syn.destination, Address::from(ends.destination));
        assert_eq!(read(ends.tcp(80, 40000, SYN | ACK)).unwrap().role, Role::Answers);
        assert_eq!(read(ends.tcp(80, 40000, ACK)).unwrap().role, Role::Continues);
        assert_eq!(read(ends.udp(5000, 53)).unwrap().role, Role::Datagram);
        assert_eq!(read(ends.sctp(5000, 7777, 1)).unwrap().role, Role::Opens);
        assert_eq!(read(ends.sctp(7777, 5000, 2)).unwrap().role, Role::Answers);
        assert_eq!(read(ends.sctp(5000, 7777, 0)).unwrap().role, Role::Continues);
        let ping = read(ends.echo(true, 99)).unwrap();
        assert_eq!((ping.source_port, ping.destination_port, ping.role), (99, 1, Role::Opens));
        assert_eq!(read(ends.echo(false, 99)).unwrap().role, Role::Answers);
        assert_eq!(read(ends.ip(47, &[0; 4])).unwrap().role, Role::Datagram, "GRE has no ports and is judged");
    }
}

#[test]
fn honours_ipv4_options() {
    let header = Ipv4 { options: vec![1; 8], ..v4_header() };
    let seen = read(v4_packet(&header, &frames::tcp(40000, 443, SYN))).unwrap();
    assert_eq!((seen.destination_port, seen.role), (443, Role::Opens));
}

#[test]
fn walks_extension_headers_up_to_a_bound() {
    let tcp = frames::tcp(40000, 443, SYN);
    let mut payload = tcp;
    let mut next = TCP;
    for count in 1..=9 {
        payload = frames::extension(next, &payload);
        next = 60;
        let seen = read(v6_packet(next, &payload));
        if count <= 8 {
            assert_eq!(seen.unwrap().destination_port, 443, "{count} extension headers");
        } else {
            assert_eq!(seen, Err(DropReason::UnsupportedProtocol));
        }
    }
}

#[test]
fn an_extension_header_ends_within_its_packet() {
    let mut header = frames::extension(61, &[]);
    header[1] = 1;
    assert_eq!(read(v6_packet(60, &header)), Err(DropReason::Malformed));
}

#[test]
fn a_routing_header_with_segments_left_hides_the_destination() {
    let mut header = frames::extension(TCP, &frames::tcp(40000, 443, SYN));
    header[3] = 1;
    assert_eq!(read(v6_packet(43, &header)), Err(DropReason::UnsupportedProtocol));
    header[3] = 0;
    assert_eq!(read(v6_packet(43, &header)).unwrap().destination_port, 443);
}

#[test]
fn a_source_route_that_leads_on_hides_the_destination() {
    let read = |options: &[u8], fragment_offset| {
        let header = Ipv4 { options: options.to_vec(), fragment_offset, ..v4_header() };
        read(v4_packet(&header, &frames::tcp(40000, 443, SYN)))
    };
    for (kind, offset) in [(131, 0), (137, 0), (131, 10)] {
        let leads_on = read(&[1, kind, 7, 4, 192, 0, 2, 1], offset);
        assert_eq!(leads_on, Err(DropReason::UnsupportedProtocol));
        assert!(read(&[1, kind, 7, 8, 192, 0, 2, 1], offset).is_ok(), "it has been followed");
        assert!(read(&[0, kind, 7, 4, 192, 0, 2, 1], offset).is_ok(), "behind the last option");
    }
    assert!(read(&[148, 4, 0, 0], 0).is_ok(), "a router alert");
    for not_whole in [[131, 9, 4, 0], [148, 1, 0, 0], [1, 1, 148, 4], [1, 1, 1, 131]] {
        assert_eq!(read(&not_whole, 0), Err(DropReason::Malformed), "{not_whole:?}");
    }
}

#[test]
fn never_reads_ports_of_a_later_fragment() {
    let later = Ipv4 { fragment_offset: 10, protocol: UDP, ..v4_header() };
    let seen = read(v4_packet(&later, b"xxxxxxxxxxxxxxxx")).unwrap();
    assert_eq!((seen.fragment, seen.source_port, seen.destination_port), (Fragment::Later, 0, 0));
    let v6 = read(v6_packet(44, &frames::fragment_header(UDP, 10, true, 5, b"xxxxxxxxxxxxxxxx"))).unwrap();
    assert_eq!((v6.fragment, v6.fragment_id, v6.destination_port), (Fragment::Later, 5, 0));
}

#[test]
fn a_first_fragment_must_hold_its_transport_header() {
    let first = Ipv4 { more_fragments: true, ..v4_header() };
    assert_eq!(read(v4_packet(&first, &frames::tcp(1, 2, SYN)[..16])), Err(DropReason::Malformed));
    assert_eq!(read(v4_packet(&first, &frames::tcp(1, 2, SYN))).unwrap().fragment, Fragment::First);
    let second = Ipv4 { fragment_offset: 1, ..v4_header() };
    assert_eq!(read(v4_packet(&second, &[0; 32])), Err(DropReason::Malformed), "writes over the flags (RFC 1858)");
}

#[test]
fn lengths_that_contradict_each_other_are_malformed() {
    let whole = V4.tcp(1, 2, SYN);
    for (offset, value) in [(14, 0x44), (14, 0x65), (16, 0xff), (17, 19)] {
        let mut frame = whole.clone();
        frame[offset] = value;
        assert_eq!(read(frame), Err(DropReason::Malformed), "byte {offset} = {value:#x}");
    }
    for length in 14..whole.len() {
        assert_eq!(read(whole[..length].to_vec()), Err(DropReason::Malformed), "{length} bytes");
    }
    let mut padded = whole;
    padded.extend([0; 6]);
    assert_eq!(read(padded).unwrap().role, Role::Opens, "bytes behind the packet are padding");
}

#[test]
fn only_arp_and_ip_are_protocols() {
    for ether_type in [0x8100, 0x88a8, 0x8847, 0x88cc, 0x0004] {
        assert_eq!(read(V4.ethernet(ether_type, &[0; 60])), Err(DropReason::UnsupportedProtocol), "{ether_type:#x}");
    }
    assert_eq!(read(V4.ethernet(0x0806, &[0; 28])), Err(DropReason::Malformed));
}

#[test]
fn an_icmp_error_quotes_its_flow() {
    for (ends, kind) in [(V4, 3), (V6, 1)] {
        let sent = ends.udp(5000, 53);
        let frame = HostFrame::new(ends.back().error(kind, &sent), 1, 0);
        let error = read(frame.bytes.clone()).unwrap();
        assert_eq!(error.role, Role::Error);
        let mut inner = Quoted::NOTHING;
        quoted(&frame, &error, &mut inner).unwrap();
        assert_eq!((inner.source, inner.source_port), (Address::from(ends.source), 5000));
        assert_eq!((inner.destination, inner.destination_port), (Address::from(ends.destination), 53));
    }
    let redirect = read(V4.ip(ICMP, &[5, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    assert_eq!(redirect.role, Role::Stateless, "a redirect is no error");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes end in a datagram that lies within the frame, or in a reason.
    #[test]
    fn arbitrary_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), shape in 0..6u8) {
        if bytes.len() > 15 && shape > 0 {
            let (ether_type, version) = [(0x0800, 0x45), (0x0800, 0x4f), (0x86dd, 0x60), (0x0806, 0), (0x0800, 0x46)]
                [usize::from(shape) - 1];
            bytes[12..14].copy_from_slice(&u16::to_be_bytes(ether_type));
            bytes[14] = version;
            if shape != 4 && bytes.len() > 20 {
                let length = u16::try_from(bytes.len() - 14).unwrap();
                let field = if ether_type == 0x0800 { (16, length) } else { (18, length.saturating_sub(40)) };
                bytes[field.0..field.0 + 2].copy_from_slice(&field.1.to_be_bytes());
            }
        }
        let frame = HostFrame::new(bytes, 1, 0);
        let (mut link, mut datagram) = (Frame::EMPTY, Datagram::EMPTY);
        if parse(&frame, &mut link, &mut datagram).is_ok() && !link.is_arp() {
            prop_assert!(datagram.transport <= datagram.end, "{datagram:?}");
            prop_assert!(datagram.end <= frame.length(), "{datagram:?}");
            prop_assert!(frame.looked_at() <= datagram.end, "read behind the IP packet: {datagram:?}");
            if matches!(datagram.role, Role::Error) {
                let _found = quoted(&frame, &datagram, &mut Quoted::NOTHING.clone());
            }
        }
    }
}
