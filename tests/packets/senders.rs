//! What a pod may send and get (DESIGN.md §3.2, §3.3): each packet with its reason, in the kernel and on the host.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::abi::AllowReason::{Established, Neighbour, NoPolicy, OwnNode};
use common::abi::Direction;
use common::abi::DropReason::{
    Malformed, NotReady, SpoofedSource, TenantIsolation, UnknownEndpoint, UnsupportedProtocol, WrongDestination,
};
use common::decide::Verdict;
use policy::model::UnknownEndpoints;
use tests::frames::{self, Ends, SYN};
use tests::host::HostFrame;
use tests::scene::{NODE, NODE_MAC, Scene, allowed, dropped};
use tests::twin::Twin;

/// Two pods of two tenants, and a third pod's address that nobody here has.
const WORLD: &str = "
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: red}}
---
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: blue}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {capsule.clastix.io/tenant: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {capsule.clastix.io/tenant: blue}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: a}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, namespace: b}, spec: {containers: [{name: c, image: i}]}}
";

fn scene(test: impl FnOnce(&mut Scene<'_>) + Send) {
    Twin::with("senders", |twin| test(&mut Scene::new(twin, WORLD)));
}

fn outside(family: usize) -> IpAddr {
    ["203.0.113.9", "2001:db8::9"][family].parse().unwrap()
}

#[test]
fn a_pod_sends_only_under_its_own_address_and_mac() {
    scene(|scene| {
        for family in [0, 1] {
            let own = scene.to(0, outside(family));
            assert_eq!(scene.send(0, own.udp(1, 2)).outcome.verdict, allowed(NoPolicy));
            let stolen = Ends { source: scene.pods[1].addresses[family], ..own };
            assert_eq!(scene.send(0, stolen.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
            let foreign = Ends { source: outside(family), destination: scene.pods[1].addresses[family], ..own };
            assert_eq!(scene.send(0, foreign.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
            let node = Ends { source: NODE[family], ..own };
            assert_eq!(scene.send(0, node.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
            let mac = Ends { source_mac: scene.pods[1].mac, ..own };
            assert_eq!(scene.send(0, mac.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        }
    });
}

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
fn neighbourly(ends: &Ends, kind: u8, rest: &[&[u8]]) -> Vec<u8> {
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

/// IPv4 addresses in the place of IPv6 ones: mapped and compatible.
#[test]
fn no_ipv6_header_has_an_ipv4_address() {
    scene(|scene| {
        let (IpAddr::V4(own), IpAddr::V4(node)) = (scene.pods[0].addresses[0], NODE[0]) else { panic!("IPv4") };
        let (mapped, compatible) = (
            |v4: Ipv4Addr| v4.to_ipv6_mapped(),
            |v4: Ipv4Addr| {
                let [a, b, c, d] = v4.octets().map(u16::from);
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a << 8 | b, c << 8 | d)
            },
        );
        let ends = scene.between(0, 1, 1);
        for source in [mapped(own), compatible(own), mapped(node)] {
            let as_v4 = Ends { source: source.into(), ..ends };
            let advertisement = neighbourly(&as_v4, 136, &[&[0x20, 0, 0, 0], &ends_v6(ends.destination).octets()]);
            for frame in [as_v4.udp(1, 2), as_v4.udp(547, 546), as_v4.tcp(1, 2, SYN), advertisement] {
                assert_eq!(scene.send(0, frame.clone()).outcome.verdict, dropped(Malformed), "from {source}");
                let got = scene.deliver(1, scene.pods[0].ifindex, frame);
                assert_eq!(got.outcome.verdict, dropped(Malformed), "from {source}, at the receiver");
            }
        }
        for destination in [mapped(node), compatible(node), mapped(Ipv4Addr::LOCALHOST)] {
            let as_v4 = Ends { destination: destination.into(), ..ends };
            assert_eq!(scene.send(0, as_v4.udp(1, 2)).outcome.verdict, dropped(Malformed), "to {destination}");
        }
        let claim = neighbourly(&ends, 136, &[&[0x20, 0, 0, 0], &mapped(own).octets()]);
        assert_eq!(scene.send(0, claim).outcome.verdict, dropped(Malformed), "an advertisement of it");
    });
}

fn ends_v6(address: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(address) = address else { panic!("{address} is not IPv6") };
    address
}

#[test]
fn no_packet_goes_to_a_loopback_address_or_comes_from_one() {
    scene(|scene| {
        for to in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::"] {
            let ends = scene.to(0, to.parse().unwrap());
            for frame in [ends.udp(1, 10250), ends.tcp(1, 10250, SYN), ends.echo(true, 1)] {
                assert_eq!(scene.send(0, frame).outcome.verdict, dropped(Malformed), "to {to}");
            }
        }
        for from in ["127.0.0.1", "127.9.9.9", "::1", "224.0.0.251", "255.255.255.255", "ff02::1", "::"] {
            let source: IpAddr = from.parse().unwrap();
            let ends = Ends { source, ..scene.between(0, 1, usize::from(source.is_ipv6())) };
            assert_eq!(scene.send(0, ends.udp(1, 2)).outcome.verdict, dropped(SpoofedSource), "from {from}");
            for came_from in [0, 1] {
                let got = scene.deliver(1, came_from, ends.udp(1, 2));
                assert_eq!(got.outcome.verdict, dropped(SpoofedSource), "from {from} by {came_from}");
            }
        }
    });
}

#[test]
fn who_has_no_interface_is_whom_it_names() {
    scene(|scene| {
        for family in [0, 1] {
            let ends = scene.between(0, 1, family);
            // Fragments that the node has made have none, and are a pod's.
            assert_eq!(scene.deliver(1, 0, ends.udp(1, 2)).outcome.verdict, dropped(TenantIsolation));
            let outside = Ends { source: outside(family), ..ends };
            assert_eq!(scene.deliver(1, 0, outside.udp(1, 2)).outcome.verdict, allowed(NoPolicy));
            let node = Ends { source: NODE[family], ..ends };
            assert_eq!(scene.deliver(1, 0, node.udp(1, 2)).outcome.verdict, allowed(OwnNode));
            let unknown = ["10.244.77.7", "fd00:10:244::77"][family].parse().unwrap();
            let unknown = Ends { source: unknown, ..ends };
            assert_eq!(scene.deliver(1, 0, unknown.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
        }
    });
}

#[test]
fn a_pods_icmp_errors_are_about_what_was_sent_to_it() {
    scene(|scene| {
        for (family, kinds) in [(0, &[3, 11, 12][..]), (1, &[1, 2, 3, 4, 5, 100])] {
            let (node, outside) = (NODE[family], outside(family));
            for &kind in kinds {
                let to_node = scene.to(0, node);
                let answer = to_node.error(kind, &to_node.back().udp(5, 6));
                assert_eq!(scene.send(0, answer).outcome.verdict, allowed(OwnNode), "type {kind}");
                // A packet from the node to somebody else, one to this pod from somebody else, one of its own.
                let strange = [
                    Ends { source: node, destination: outside, ..to_node },
                    Ends { source: node, destination: scene.pods[1].addresses[family], ..to_node },
                    Ends { source: outside, destination: scene.pods[0].addresses[family], ..to_node },
                    to_node,
                ];
                for quoted in strange {
                    let error = to_node.error(kind, &quoted.udp(5, 6));
                    assert_eq!(scene.send(0, error).outcome.verdict, dropped(SpoofedSource), "type {kind}: {quoted:?}");
                }
                let empty =
                    to_node.ip(if family == 0 { frames::ICMP } else { frames::ICMPV6 }, &[kind, 0, 0, 0, 0, 0, 0, 0]);
                assert_eq!(scene.send(0, empty).outcome.verdict, dropped(Malformed), "type {kind} about nothing");
            }
        }
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

fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

#[test]
fn redirects_and_dhcp_servers_are_not_pods() {
    scene(|scene| {
        for to in [scene.pods[1].addresses[0], NODE[0]] {
            let ends = scene.to(0, to);
            let redirect = ends.error(5, &ends.back().udp(1, 2));
            assert_eq!(scene.send(0, redirect).outcome.verdict, dropped(SpoofedSource));
            assert_eq!(scene.send(0, ends.udp(67, 68)).outcome.verdict, dropped(SpoofedSource));
        }
        let ends = scene.to(0, NODE[1]);
        assert_eq!(scene.send(0, ends.udp(547, 546)).outcome.verdict, dropped(SpoofedSource));
    });
}

#[test]
fn link_local_is_for_the_own_node() {
    scene(|scene| {
        let link_local = |mac: [u8; 6]| IpAddr::V6(link_local(mac));
        let own = Ends { source: link_local(scene.pods[0].mac), ..scene.between(0, 1, 1) };
        assert_eq!(scene.send(0, own.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        let both = Ends { destination: link_local(scene.pods[1].mac), ..own };
        assert_eq!(scene.send(0, both.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        let global = Ends { destination: link_local(scene.pods[1].mac), ..scene.between(0, 1, 1) };
        assert_eq!(scene.send(0, global.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
        let node = Ends { destination: NODE[1], ..own };
        assert_eq!(scene.send(0, node.udp(1, 2)).outcome.verdict, allowed(OwnNode));
        let came_from = scene.pods[0].ifindex;
        assert_eq!(scene.deliver(1, came_from, own.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        assert_eq!(scene.deliver(1, came_from, global.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
        assert_eq!(scene.deliver(1, 0, both.udp(1, 2)).outcome.verdict, dropped(SpoofedSource), "not the node's");
        let from_node = Ends { source: NODE[1], ..both };
        assert_eq!(scene.deliver(1, 0, from_node.udp(1, 2)).outcome.verdict, allowed(OwnNode));
    });
}

#[test]
fn multicast_between_tenants_is_judged_by_its_source() {
    scene(|scene| {
        for (family, group) in [(0, "224.0.0.251"), (1, "ff02::fb")] {
            let ends = scene.to(0, group.parse().unwrap());
            let ends = Ends { destination_mac: [0x33, 0x33, 0, 0, 0, 0xfb], ..ends };
            assert_eq!(scene.send(0, ends.udp(5353, 5353)).outcome.verdict, allowed(NoPolicy), "family {family}");
            let came_from = scene.pods[0].ifindex;
            let got = scene.deliver(1, came_from, ends.udp(5353, 5353));
            assert_eq!(got.outcome.verdict, dropped(TenantIsolation));
            assert_ne!(got.outcome.source_tenant, got.outcome.destination_tenant);
        }
    });
}

#[test]
fn a_frame_for_somebody_else_is_no_policy_drop() {
    scene(|scene| {
        let ends = Ends { destination_mac: NODE_MAC, ..scene.between(0, 1, 0) };
        let came_from = scene.pods[0].ifindex;
        assert_eq!(scene.deliver(1, came_from, ends.tcp(1, 2, SYN)).outcome.verdict, dropped(WrongDestination));
        let other_ip = Ends { destination: outside(0), ..scene.between(0, 1, 0) };
        assert_eq!(scene.deliver(1, came_from, other_ip.tcp(1, 2, SYN)).outcome.verdict, dropped(WrongDestination));
    });
}

#[test]
fn a_local_pods_address_comes_only_from_its_veth() {
    scene(|scene| {
        let frame = scene.between(0, 1, 0).udp(1, 2);
        // From an uplink, under the name of a pod that is here.
        assert_eq!(scene.deliver(1, 1, frame).outcome.verdict, dropped(SpoofedSource));
    });
}

#[test]
fn an_address_in_the_pod_range_that_no_pod_owns_is_foreign_to_every_tenant() {
    scene(|scene| {
        for (family, unknown) in [(0, "10.244.77.7"), (1, "fd00:10:244::77")] {
            let ends = Ends { source: unknown.parse().unwrap(), ..scene.between(0, 1, family) };
            assert_eq!(scene.deliver(1, 1, ends.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
        }
    });
}

#[test]
fn vlan_tags_drop_tag_0_too() {
    scene(|scene| {
        let ends = scene.between(0, 1, 0);
        let inner = &ends.udp(1, 2)[12..];
        for tag in [0_u16, 5] {
            let frame = ends.ethernet(0x8100, &[&tag.to_be_bytes(), inner].concat());
            assert_eq!(scene.send(0, frame).outcome.verdict, dropped(UnsupportedProtocol));
        }
    });
}

#[test]
fn an_interface_without_an_endpoint_is_not_ready() {
    scene(|scene| {
        let frame = HostFrame::new(scene.between(0, 1, 0).udp(1, 2), 1, 1);
        assert_eq!(scene.twin.run(Direction::Egress, &frame).outcome.verdict, dropped(NotReady));
    });
}

#[test]
fn a_veth_whose_pod_is_not_known_yet_speaks_with_its_own_node_alone() {
    scene(|scene| {
        scene.forget_pod(0);
        for family in [0, 1] {
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, dropped(NotReady));
            let abroad = scene.to(0, outside(family));
            assert_eq!(scene.send(0, abroad.tcp(1, 80, SYN)).outcome.verdict, dropped(NotReady));
            let from = scene.pods[1].ifindex;
            assert_eq!(scene.deliver(0, from, there.back().udp(3, 4)).outcome.verdict, dropped(NotReady));
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(1, 2)).outcome.verdict, allowed(OwnNode));
            assert_eq!(scene.deliver(0, 0, home.back().udp(5, 6)).outcome.verdict, allowed(OwnNode));
        }
    });
}

#[test]
fn a_held_veth_speaks_with_nobody_but_in_the_flows_that_it_has() {
    scene(|scene| {
        for family in [0, 1] {
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(1, 2)).outcome.verdict, allowed(OwnNode));
        }
        scene.twin.hold(0);
        for family in [0, 1] {
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(3, 4)).outcome.verdict, dropped(NotReady));
            assert_eq!(scene.deliver(0, 0, home.back().udp(5, 6)).outcome.verdict, dropped(NotReady));
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, dropped(NotReady));
            assert_eq!(scene.deliver(0, 0, home.back().udp(2, 1)).outcome.verdict, allowed(Established));
        }
    });
}

#[test]
fn where_unknown_pods_are_allowed_they_still_borrow_no_address_and_no_tenant() {
    scene(|scene| {
        scene.config.unknown_endpoints = UnknownEndpoints::Allow;
        scene.forget_pod(0);
        for family in [0, 1] {
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, allowed(NoPolicy));
            let from = scene.pods[0].ifindex;
            assert_eq!(scene.deliver(1, from, there.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
            let stolen = Ends { source: outside(family), ..there };
            assert_eq!(scene.send(0, stolen.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        }
    });
}
