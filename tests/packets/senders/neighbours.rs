//! ARP, neighbour discovery and what steers multicast: what neighbours say to each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::abi::AllowReason::Neighbour;
use common::abi::DropReason::{Malformed, SpoofedSource};
use common::decide::Verdict;
use tests::frames::{self, Ends};
use tests::scene::{NODE, NODE_MAC, allowed, dropped};

use crate::{link_local, scene};

#[test]
fn arp_claims_only_what_is_the_pods() {
    scene(|scene| {
        let (IpAddr::V4(own), IpAddr::V4(other), IpAddr::V4(node)) =
            (scene.pods[0].addresses[0], scene.pods[1].addresses[0], NODE[0])
        else {
            panic!("IPv4 addresses")
        };
        let mac = scene.pods[0].mac;
        for operation in [1, 2] {
            assert_eq!(scene.send(0, frames::arp(operation, mac, own, other)).outcome.verdict, allowed(Neighbour));
            for claimed in [other, node] {
                let frame = frames::arp(operation, mac, claimed, own);
                assert_eq!(scene.send(0, frame).outcome.verdict, dropped(SpoofedSource));
            }
        }
        let probe = |target| frames::arp(1, mac, Ipv4Addr::UNSPECIFIED, target);
        assert_eq!(scene.send(0, probe(own)).outcome.verdict, allowed(Neighbour));
        for others in [other, node] {
            assert_eq!(scene.send(0, probe(others)).outcome.verdict, dropped(SpoofedSource), "a probe for {others}");
        }
        let mut inner = frames::arp(1, mac, own, other);
        inner[22..28].copy_from_slice(&scene.pods[1].mac);
        assert_eq!(scene.send(0, inner).outcome.verdict, dropped(SpoofedSource));
        let reply = frames::arp(2, scene.pods[1].mac, other, own);
        assert_eq!(scene.deliver(0, 0, reply).outcome.verdict, allowed(Neighbour));
    });
}

#[test]
fn neighbour_discovery_claims_only_what_is_the_pods() {
    scene(|scene| {
        let ends = scene.between(0, 1, 1);
        let (IpAddr::V6(own), IpAddr::V6(other)) = (ends.source, ends.destination) else { panic!("IPv6 addresses") };
        let mac = scene.pods[0].mac;
        let solicitation = frames::neighbour(&ends, 135, other, mac);
        assert_eq!(scene.send(0, solicitation).outcome.verdict, allowed(Neighbour));
        assert_eq!(scene.send(0, frames::neighbour(&ends, 136, own, mac)).outcome.verdict, allowed(Neighbour));
        let stolen = frames::neighbour(&ends, 136, other, mac);
        assert_eq!(scene.send(0, stolen).outcome.verdict, dropped(SpoofedSource));
        let other_mac = frames::neighbour(&ends, 136, own, scene.pods[1].mac);
        assert_eq!(scene.send(0, other_mac).outcome.verdict, dropped(SpoofedSource));
        let far = frames::with_hop_limit(&ends, 64, &[135, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(scene.send(0, far).outcome.verdict, dropped(Malformed), "came through a router");
        for as_router in [134, 137] {
            let frame = frames::with_hop_limit(&ends, 255, &[as_router, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(scene.send(0, frame).outcome.verdict, dropped(SpoofedSource));
        }
        let query = frames::with_hop_limit(&ends, 1, &[130, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(scene.send(0, query).outcome.verdict, dropped(SpoofedSource));
        let report = frames::with_hop_limit(&ends, 1, &[143, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(scene.send(0, report).outcome.verdict, allowed(Neighbour));
    });
}

#[test]
fn arp_carries_nothing_else() {
    scene(|scene| {
        let (IpAddr::V4(own), IpAddr::V4(other)) = (scene.pods[0].addresses[0], scene.pods[1].addresses[0]) else {
            panic!("IPv4 addresses")
        };
        let request = frames::arp(1, scene.pods[0].mac, own, other);
        for length in [60, 59, 43] {
            let mut padded = request.clone();
            padded.resize(length, 0);
            assert_eq!(scene.send(0, padded.clone()).outcome.verdict, allowed(Neighbour), "{length} bytes");
            padded[length - 1] = 1;
            assert_eq!(scene.send(0, padded).outcome.verdict, dropped(Malformed), "a letter in {length} bytes");
        }
        for length in [61, 1000] {
            let mut long = request.clone();
            long.resize(length, 0);
            assert_eq!(scene.send(0, long).outcome.verdict, dropped(Malformed), "{length} bytes");
        }
        for operation in [0, 3, 8, 9, 25] {
            let frame = frames::arp(operation, scene.pods[0].mac, own, other);
            assert_eq!(scene.send(0, frame).outcome.verdict, dropped(Malformed), "operation {operation}");
        }
    });
}

/// ICMPv6 from a pod of its own making: everything behind the type, code and checksum.
pub fn neighbourly(ends: &Ends, kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    let hop_limit = if (133..=137).contains(&kind) { 255 } else { 1 };
    frames::with_hop_limit(ends, hop_limit, &[&[kind, 0, 0, 0][..], &rest.concat()].concat())
}

#[test]
fn neighbour_discovery_carries_nothing_else() {
    scene(|scene| {
        let ends = scene.between(0, 1, 1);
        let IpAddr::V6(other) = ends.destination else { panic!("IPv6") };
        let other = other.octets();
        let mac = scene.pods[0].mac;
        let link_layer = [&[1, 1][..], &mac].concat();
        let nonce = [14, 1, 9, 9, 9, 9, 9, 9];
        let asks = |options: &[&[u8]]| neighbourly(&ends, 135, &[&[0; 4], &other, &options.concat()]);
        for options in [&[&link_layer[..]][..], &[&link_layer, &nonce], &[]] {
            assert_eq!(scene.send(0, asks(options)).outcome.verdict, allowed(Neighbour));
        }
        let others_mac = [&[2, 1][..], &scene.pods[1].mac].concat();
        assert_eq!(scene.send(0, asks(&[&others_mac])).outcome.verdict, dropped(SpoofedSource), "in the other option");
        let long_nonce = [&[14, 3][..], &[9; 22]].concat();
        for option in [&[25, 1, 0, 0, 0, 0, 0, 0][..], &[5, 1, 0, 0, 0, 0, 5, 0], &long_nonce] {
            assert_eq!(scene.send(0, asks(&[option])).outcome.verdict, dropped(Malformed), "{option:?}");
        }
        let behind = [asks(&[&link_layer]), vec![7; 900]].concat();
        assert_eq!(scene.send(0, behind).outcome.verdict, dropped(Malformed), "behind the end of the IP packet");
        let message = asks(&[&link_layer])[54..].to_vec();
        let IpAddr::V6(source) = ends.source else { panic!("IPv6") };
        let wrapped = frames::extension(frames::ICMPV6, &message);
        let wrapped = ends.ethernet(0x86dd, &frames::ipv6(source, other.into(), 255, 60, &wrapped));
        assert_eq!(scene.send(0, wrapped).outcome.verdict, dropped(Malformed), "before the message");
        let report = neighbourly(&ends, 131, &[&[0; 20]]);
        assert_eq!(scene.send(0, report).outcome.verdict, allowed(Neighbour));
        let long = neighbourly(&ends, 131, &[&[0; 20], &[7; 400]]);
        assert_eq!(scene.send(0, long).outcome.verdict, dropped(Malformed), "behind a report");
        let long = neighbourly(&ends, 143, &[&[0; 4], &[7; 400]]);
        assert_eq!(scene.send(0, long).outcome.verdict, dropped(Malformed), "a report of 400 bytes");
    });
}

#[test]
fn only_who_has_an_address_asks_whether_others_have_it() {
    scene(|scene| {
        let ends = Ends { source: IpAddr::V6(Ipv6Addr::UNSPECIFIED), ..scene.between(0, 1, 1) };
        let (IpAddr::V6(own), IpAddr::V6(node)) = (scene.pods[0].addresses[1], NODE[1]) else { panic!("IPv6") };
        let IpAddr::V6(other) = ends.destination else { panic!("IPv6") };
        let asks = |target: Ipv6Addr| neighbourly(&ends, 135, &[&[0; 4], &target.octets()]);
        for target in [own, link_local(scene.pods[0].mac)] {
            assert_eq!(scene.send(0, asks(target)).outcome.verdict, allowed(Neighbour), "{target}");
        }
        for target in
            [other, node, link_local(scene.pods[1].mac), link_local(NODE_MAC), "fd00:10:244::77".parse().unwrap()]
        {
            assert_eq!(scene.send(0, asks(target)).outcome.verdict, dropped(SpoofedSource), "{target}");
        }
        let solicitation = neighbourly(&ends, 133, &[&[0; 4]]);
        assert_eq!(scene.send(0, solicitation).outcome.verdict, allowed(Neighbour), "a search for routers");
    });
}

#[test]
fn what_steers_multicast_is_not_a_pods() {
    scene(|scene| {
        let ends = scene.to(0, "224.0.0.1".parse().unwrap());
        for kind in [0x11, 0x13, 0x14, 0x30, 0x31, 0x32] {
            let frame = ends.ip(2, &[kind, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(scene.send(0, frame).outcome.verdict, dropped(SpoofedSource), "IGMP {kind:#x}");
        }
        for report in [0x12, 0x16, 0x17, 0x22] {
            let frame = ends.ip(2, &[report, 0, 0, 0, 224, 0, 0, 251]);
            assert!(matches!(scene.send(0, frame).outcome.verdict, Verdict::Allow(_)), "IGMP {report:#x}");
        }
        assert_eq!(scene.send(0, ends.ip(2, &[0x11, 0, 0])).outcome.verdict, dropped(Malformed));
        assert_eq!(scene.send(0, ends.ip(103, &[0x20, 0, 0, 0])).outcome.verdict, dropped(SpoofedSource), "PIM");
        let ends = scene.to(0, "ff02::6a".parse().unwrap());
        for kind in [130, 151, 152, 153] {
            let frame = frames::with_hop_limit(&ends, 1, &[kind, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(scene.send(0, frame).outcome.verdict, dropped(SpoofedSource), "ICMPv6 {kind}");
        }
        assert_eq!(scene.send(0, ends.ip(103, &[0x20, 0, 0, 0])).outcome.verdict, dropped(SpoofedSource), "PIM");
        let announced = scene.to(0, "224.0.0.1".parse().unwrap()).ip(1, &[9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(scene.send(0, announced).outcome.verdict, dropped(SpoofedSource), "an ICMP router");
    });
}
