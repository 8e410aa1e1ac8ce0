//! Addresses that a pod sends under, and those that it may be sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::abi::AllowReason::{NoPolicy, OwnNode};
use common::abi::DropReason::{
    Malformed, SpoofedSource, TenantIsolation, UnknownEndpoint, UnsupportedProtocol, WrongDestination,
};
use tests::frames::{self, Ends, SYN};
use tests::scene::{NODE, NODE_MAC, allowed, dropped};

use crate::{link_local, neighbours::neighbourly, outside, scene};

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
