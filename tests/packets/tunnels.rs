//! Tunnel packets of a pod lead to known pods and nowhere else, however they are addressed (STAGE2.md §1.5).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::IpAddr;

use common::abi::AllowReason::{Established, NoPolicy, OwnNode};
use common::abi::DropReason::{Fragment, Revoked, Tunnel};
use common::abi::{Direction, TUNNEL_PORTS};
use common::decide::Verdict;
use tests::frames::{self, Ends, Ipv4, UDP};
use tests::scene::{NODE, Scene, allowed, dropped};
use tests::twin::Twin;

/// Two pods that nothing restricts. `x/node` leads to a tunnel port of the node, `x/mixed` to that and to the server,
/// `x/pod` to that port of the server, and `x/named` has the number of a tunnel and leads to another port of the server.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x}, spec: {containers: [{name: c, image: i}]},
 status: {podIPs: [{ip: 10.244.0.50}, {ip: 'fd00:10:244::50'}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: node, namespace: x}, spec: {clusterIP: 10.96.0.7, ports: [{port: 53, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8472, protocol: UDP}],
 metadata: {name: node, namespace: x, labels: {kubernetes.io/service-name: node}}, endpoints: [{addresses: [10.244.0.1]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: mixed, namespace: x}, spec: {clusterIP: 10.96.0.8, ports: [{port: 53, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8472, protocol: UDP}],
 metadata: {name: mixed, namespace: x, labels: {kubernetes.io/service-name: mixed}},
 endpoints: [{addresses: [10.244.0.1]}, {addresses: [10.244.0.50]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: pod, namespace: x}, spec: {clusterIP: 10.96.0.9, ports: [{port: 53, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8472, protocol: UDP}],
 metadata: {name: pod, namespace: x, labels: {kubernetes.io/service-name: pod}}, endpoints: [{addresses: [10.244.0.50]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: named, namespace: x}, spec: {clusterIP: 10.96.0.10, ports: [{port: 8472, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 53, protocol: UDP}],
 metadata: {name: named, namespace: x, labels: {kubernetes.io/service-name: named}}, endpoints: [{addresses: [10.244.0.50]}]}
";
const CLIENT: usize = 0;
const SERVER: usize = 1;
const FROM: u16 = 50_000;
const PROTOCOLS: [u8; 5] = [4, 41, 47, 115, 137];

fn scene(test: impl FnOnce(&mut Scene<'_>) + Send) {
    Twin::with("tunnels", |twin| test(&mut Scene::new(twin, WORLD)));
}

fn ip(family: usize, v4: &str, v6: &str) -> IpAddr {
    [v4, v6][family].parse().unwrap()
}

#[test]
fn only_known_pods_get_them() {
    scene(|scene| {
        for family in [0, 1] {
            let strangers = [
                NODE[family],
                ip(family, "203.0.113.9", "2001:db8::9"),
                ip(family, "10.244.77.1", "fd00:10:244::7701"),
                ip(family, "224.0.0.251", "ff02::fb"),
            ];
            for to in strangers {
                let ends = scene.to(CLIENT, to);
                for port in TUNNEL_PORTS {
                    assert_eq!(
                        scene.send(CLIENT, ends.udp(FROM, port)).outcome.verdict,
                        dropped(Tunnel),
                        "{to}:{port}"
                    );
                }
                for protocol in PROTOCOLS {
                    let frame = ends.ip(protocol, &[0; 24]);
                    assert_eq!(scene.send(CLIENT, frame).outcome.verdict, dropped(Tunnel), "{to}, protocol {protocol}");
                }
                // Sealed ones, which nobody opens who has not the key, and TCP at the number of a tunnel.
                for sealed in [50, 136] {
                    let sent = scene.send(CLIENT, ends.ip(sealed, &[0; 24])).outcome.verdict;
                    assert!(matches!(sent, Verdict::Allow(_)), "{to}, protocol {sealed}: {sent:?}");
                }
                let sent = scene.send(CLIENT, ends.tcp(FROM, 8472, frames::SYN)).outcome.verdict;
                assert!(matches!(sent, Verdict::Allow(_)), "TCP to {to}: {sent:?}");
            }
            let ends = scene.between(CLIENT, SERVER, family);
            for port in TUNNEL_PORTS {
                assert_eq!(scene.pass(CLIENT, SERVER, ends.udp(FROM, port)), allowed(NoPolicy), "a pod's {port}");
            }
            assert_eq!(scene.pass(CLIENT, SERVER, ends.ip(47, &[0; 24])), allowed(NoPolicy));
        }
    });
}

#[test]
fn a_service_is_where_it_leads_and_what_it_is_called_at() {
    scene(|scene| {
        for (service, called, verdict) in [
            ("10.96.0.7", 53, dropped(Tunnel)),
            ("10.96.0.8", 53, dropped(common::abi::DropReason::ServiceUndecided)),
            ("10.96.0.9", 53, allowed(NoPolicy)),
            // Where nothing rewrites it a node may have that address.
            ("10.96.0.10", 8472, dropped(Tunnel)),
        ] {
            let ends = scene.to(CLIENT, service.parse().unwrap());
            assert_eq!(scene.send(CLIENT, ends.udp(FROM, called)).outcome.verdict, verdict, "{service}:{called}");
        }
    });
}

/// Whoever sends from the number of a tunnel gets no answer there: the flow would outlive what made it harmless.
#[test]
fn an_answer_is_no_way_in() {
    scene(|scene| {
        for family in [0, 1] {
            let node = scene.to(SERVER, NODE[family]);
            let outside = scene.to(SERVER, ip(family, "203.0.113.9", "2001:db8::9"));
            for (ends, came_from, reason) in [(node, 0, OwnNode), (outside, 1, NoPolicy)] {
                let back = Ends { destination_mac: scene.pods[SERVER].mac, ..ends.back() };
                for _ in 0..2 {
                    let got = scene.deliver(SERVER, came_from, back.udp(8472, 53));
                    assert_eq!(got.outcome.verdict, allowed(reason));
                    assert_eq!(scene.send(SERVER, ends.udp(53, 8472)).outcome.verdict, dropped(Tunnel));
                }
                let got = scene.deliver(SERVER, came_from, back.ip(47, &[0; 24]));
                assert_eq!(got.outcome.verdict, allowed(reason));
                assert_eq!(scene.send(SERVER, ends.ip(47, &[0; 24])).outcome.verdict, dropped(Tunnel));
            }
            let there = scene.between(CLIENT, SERVER, family);
            assert_eq!(scene.pass(CLIENT, SERVER, there.udp(8472, 53)), allowed(NoPolicy));
            assert_eq!(scene.pass(SERVER, CLIENT, there.back().udp(53, 8472)), allowed(Established), "to a known pod");
        }
    });
}

#[test]
fn a_port_that_a_device_opens_later_is_closed_to_flows_that_are_there() {
    scene(|scene| {
        let ends = scene.to(SERVER, NODE[0]);
        let back = Ends { destination_mac: scene.pods[SERVER].mac, ..ends.back() };
        assert_eq!(scene.send(SERVER, ends.udp(53, 9999)).outcome.verdict, allowed(OwnNode));
        assert_eq!(scene.deliver(SERVER, 0, back.udp(7777, 53)).outcome.verdict, allowed(OwnNode));
        scene.config.tunnel_ports = vec![9999, 7777];
        scene.enforce();
        assert_eq!(scene.deliver(SERVER, 0, back.udp(9999, 53)).outcome.verdict, allowed(Established));
        for port in [9999, 7777] {
            for _ in 0..2 {
                assert_eq!(scene.send(SERVER, ends.udp(53, port)).outcome.verdict, dropped(Revoked), "{port}");
            }
            assert_eq!(scene.send(SERVER, ends.udp(54, port)).outcome.verdict, dropped(Tunnel), "{port}");
        }
        scene.config.tunnel_ports.clear();
        scene.enforce();
        assert_eq!(scene.send(SERVER, ends.udp(54, 9999)).outcome.verdict, allowed(OwnNode));
    });
}

#[test]
fn fragments_of_a_tunnel_packet_drop_with_their_first() {
    scene(|scene| {
        let ends = scene.to(CLIENT, NODE[0]);
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (ends.source, ends.destination) else { panic!("IPv4") };
        let datagram = frames::udp(FROM, 8472, &[0; 40]);
        for (more_fragments, fragment_offset, part, reason) in
            [(true, 0, &datagram[..24], Tunnel), (false, 3, &datagram[24..], Fragment)]
        {
            let header = Ipv4 { protocol: UDP, more_fragments, fragment_offset, ..Ipv4::new(source, destination) };
            let frame = ends.ethernet(0x0800, &frames::ipv4(&header, part));
            assert_eq!(scene.send(CLIENT, frame).outcome.verdict, dropped(reason));
        }
        let inner = scene.to(CLIENT, NODE[1]);
        let wrapped = frames::extension(UDP, &frames::udp(FROM, 8472, b"inner"));
        assert_eq!(scene.send(CLIENT, inner.ip(60, &wrapped)).outcome.verdict, dropped(Tunnel), "behind options");
    });
}

#[test]
fn where_an_administrator_allows_them_policy_decides() {
    scene(|scene| {
        let ends = scene.to(CLIENT, NODE[0]);
        let frame = tests::host::HostFrame::new(ends.udp(FROM, 8472), scene.pods[CLIENT].ifindex, 1);
        let mut host = tests::host::HostNode::new(scene.tables().clone());
        assert_eq!(host.run(Direction::Egress, &frame).outcome.verdict, dropped(Tunnel));
        host.settings.allow_tunnels = 1;
        assert_eq!(host.run(Direction::Egress, &frame).outcome.verdict, allowed(OwnNode));
    });
}
