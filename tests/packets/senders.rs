//! What a pod may send and get (DESIGN.md §3.2, §3.3): each packet with its reason, in the kernel and on the host.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::abi::AllowReason::{Established, Neighbour, NoPolicy, OwnNode};
use common::abi::Direction;
use common::abi::DropReason::{
    Malformed, NotReady, SpoofedSource, Tunnel, UnknownEndpoint, UnsupportedProtocol, WrongDestination,
};
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
        let probe = frames::arp(1, mac, Ipv4Addr::UNSPECIFIED, other);
        assert_eq!(scene.send(0, probe).outcome.verdict, allowed(Neighbour));
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
        let link_local = |mac: [u8; 6]| {
            IpAddr::V6(Ipv6Addr::from([
                0xfe,
                0x80,
                0,
                0,
                0,
                0,
                0,
                0,
                mac[0] ^ 2,
                mac[1],
                mac[2],
                0xff,
                0xfe,
                mac[3],
                mac[4],
                mac[5],
            ]))
        };
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
        assert_eq!(scene.deliver(1, 0, both.udp(1, 2)).outcome.verdict, allowed(OwnNode));
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
            assert_eq!(got.outcome.verdict, dropped(common::abi::DropReason::TenantIsolation));
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
fn tunnels_to_a_node_are_not_opened() {
    scene(|scene| {
        let ends = scene.to(0, NODE[0]);
        for port in [4789, 6081, 8472] {
            assert_eq!(scene.send(0, ends.udp(50000, port)).outcome.verdict, dropped(Tunnel));
        }
        for protocol in [4, 41, 47] {
            assert_eq!(scene.send(0, ends.ip(protocol, &[0; 24])).outcome.verdict, dropped(Tunnel));
        }
        let elsewhere = scene.to(0, outside(0));
        assert_eq!(scene.send(0, elsewhere.udp(50000, 4789)).outcome.verdict, allowed(NoPolicy));
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
