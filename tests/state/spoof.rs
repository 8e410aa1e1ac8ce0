//! A pod on real veths that pretends to be somebody else: nothing arrives, and each frame is counted once, under its
//! reason (DESIGN.md §3.3).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;

use agent::lab::{Cni, Lab};
use common::abi::Direction::{self, Egress, Ingress};
use common::abi::DropReason::{
    self, Malformed, SpoofedSource, TenantIsolation, Tunnel, UnknownEndpoint, UnsupportedProtocol, WrongDestination,
};
use tests::counters::{Counted, Counters};
use tests::frames::{self, Ends};
use tests::inside::{self, EXTERNAL, Inside, RED_AND_BLUE, listing, node, outside};
use tests::wire::{Wire, mac_of};

/// How often each frame is sent.
const TIMES: u64 = 3;
/// By these ports the receivers know what a test sent.
const FROM: u16 = 47_001;
const TO: u16 = 47_002;

/// A lab with its two pods, everything that could receive, and the counters.
struct Field {
    cni: Cni,
    one: Inside,
    two: Inside,
    /// IPv4, then IPv6.
    node: [IpAddr; 2],
    uplink_mac: [u8; 6],
    sender: Wire,
    uplink: Wire,
    receivers: Vec<(&'static str, Wire)>,
    counters: Counters,
    sent: u64,
    dropped: u64,
}

impl Field {
    fn new(lab: &Lab, cni: Cni) -> Self {
        let (one, two) = (Inside::new(lab, cni, "a", "one"), Inside::new(lab, cni, "b", "two"));
        let listing = listing(lab);
        let node_ips = [0, 1].map(|family| listing["node"]["ips"][family].as_str().unwrap().parse().unwrap());
        let uplink = Wire::open(&outside(lab), "uplink");
        let mut receivers = vec![("pod b/two", two.wire()), ("the world", Wire::open(&outside(lab), "uplink"))];
        if matches!(cni, Cni::Bridge) {
            receivers.push(("the bridge", Wire::open(&node(lab), "cni0")));
        }
        let (sender, counters) = (one.wire(), Counters::open(lab.name()));
        let uplink_mac = mac_of(&node(lab), "uplink");
        Self { cni, one, two, node: node_ips, uplink_mac, sender, uplink, receivers, counters, sent: 0, dropped: 0 }
    }

    /// What the pod `one` sends is dropped as it leaves.
    fn sends(&mut self, reason: DropReason, what: &str, frame: &[u8]) {
        self.hears_nothing();
        self.counters.restart();
        (0..TIMES).for_each(|_| self.sender.send(frame));
        self.is_dropped(Egress, reason, what);
        for (place, wire) in &self.receivers {
            assert_eq!(wire.came(|bytes| bytes == frame), 0, "{what} reached {place} ({})", self.cni);
        }
    }

    /// What a wire brings is dropped before it reaches the pod `two`.
    fn arrives(&mut self, reason: DropReason, what: &str, from_uplink: bool, frame: &[u8]) {
        self.hears_nothing();
        self.counters.restart();
        let wire = if from_uplink { &self.uplink } else { &self.sender };
        (0..TIMES).for_each(|_| wire.send(frame));
        self.is_dropped(Ingress, reason, what);
        // A router changes the head of a frame, not its end.
        let end = &frame[frame.len() - 12..];
        assert_eq!(self.receivers[0].1.came(|bytes| bytes.ends_with(end)), 0, "{what} reached b/two ({})", self.cni);
    }

    fn is_dropped(&mut self, direction: Direction, reason: DropReason, what: &str) {
        let counted = self.counters.wait_for(TIMES);
        assert_eq!(counted, Counted::from([((direction, reason), TIMES)]), "{what} ({})", self.cni);
        self.sent += TIMES;
        self.dropped += counted.values().sum::<u64>();
    }

    /// Passes over what has come so far.
    fn hears_nothing(&self) {
        for (_, wire) in &self.receivers {
            let _ = wire.came(|_| false);
        }
    }
}

fn both_forms(label: &str, test: impl Fn(&mut Field)) {
    inside::both_forms(label, RED_AND_BLUE, |lab, cni| {
        let mut field = Field::new(&lab, cni);
        let mine = |bytes: &[u8]| has_ports(bytes);
        for external in EXTERNAL {
            field.sender.send(&field.one.out(external.parse().unwrap()).udp(FROM, TO));
            field.receivers[1].1.expect(1, mine);
        }
        assert!(field.counters.since().is_empty(), "what the pod sends under its own name passes");
        test(&mut field);
        println!("{cni}: {label}: {} frames sent, {} counted as dropped, 0 arrived", field.sent, field.dropped);
        assert_eq!(field.sent, field.dropped);
    });
}

fn has_ports(bytes: &[u8]) -> bool {
    let ports = [FROM.to_be_bytes(), TO.to_be_bytes()].concat();
    bytes.windows(4).any(|window| window == ports)
}

fn link_local(mac: [u8; 6]) -> IpAddr {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f).into()
}

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    address
}

fn v6(address: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(address) = address else { panic!("{address} is not IPv6") };
    address
}

#[test]
fn nobody_sends_under_anothers_name() {
    both_forms("source", |field| {
        for (family, unowned) in [(0, "10.244.77.7"), (1, "fd00:10:244::77")] {
            let external: IpAddr = EXTERNAL[family].parse().unwrap();
            let own = field.one.out(external);
            let stolen = Ends { source: field.two.addresses[family], ..own };
            field.sends(SpoofedSource, "another pod's address", &stolen.udp(FROM, TO));
            let node = Ends { source: field.node[family], ..field.one.to(&field.two, family) };
            field.sends(SpoofedSource, "the node's address", &node.udp(FROM, TO));
            let unowned = Ends { source: unowned.parse().unwrap(), ..own };
            field.sends(SpoofedSource, "an address that no pod owns", &unowned.udp(FROM, TO));
            let mac = Ends { source_mac: field.two.mac, ..own };
            field.sends(SpoofedSource, "another pod's MAC address", &mac.udp(FROM, TO));
        }
    });
}

#[test]
fn nobody_claims_anothers_address_or_speaks_as_a_router() {
    both_forms("neighbours", |field| {
        let (own, other, node) = (field.one.addresses, field.two.addresses, field.node);
        let mac = field.one.mac;
        for operation in [1, 2] {
            for claimed in [other[0], node[0]] {
                let frame = frames::arp(operation, mac, v4(claimed), v4(own[0]));
                field.sends(SpoofedSource, "an ARP sender", &frame);
            }
        }
        let ends = field.one.to(&field.two, 1);
        let advertisement = frames::neighbour(&ends, 136, v6(other[1]), mac);
        field.sends(SpoofedSource, "an advertisement of another's address", &advertisement);
        let other_mac = frames::neighbour(&ends, 136, v6(own[1]), field.two.mac);
        field.sends(SpoofedSource, "an advertisement of another's MAC address", &other_mac);
        let sender = Ends { source: other[1], destination: node[1], ..ends };
        let solicitation = frames::neighbour(&sender, 135, v6(node[1]), mac);
        field.sends(SpoofedSource, "a solicitation from another's address", &solicitation);
        for (kind, what) in [(134, "a Router Advertisement"), (137, "an ICMPv6 redirect")] {
            let frame = frames::with_hop_limit(&ends, 255, &[&[kind][..], &[0; 39]].concat());
            field.sends(SpoofedSource, what, &frame);
        }
        for to in [other[0], node[0]] {
            let ends = Ends { destination: to, ..field.one.to(&field.two, 0) };
            field.sends(SpoofedSource, "an ICMP redirect", &ends.error(5, &ends.back().udp(FROM, TO)));
            field.sends(SpoofedSource, "a DHCP server", &ends.udp(67, 68));
        }
        field.sends(SpoofedSource, "a DHCPv6 server", &field.one.to(&field.two, 1).udp(547, 546));
    });
}

#[test]
fn nobody_speaks_about_others_packets_or_addresses() {
    both_forms("about-others", |field| {
        let mac = field.one.mac;
        for family in [0, 1] {
            let external: IpAddr = EXTERNAL[family].parse().unwrap();
            let ends = field.one.to(&field.two, family);
            let victim = field.two.out(external).udp(53_000, 53);
            let kind = if family == 0 { 3 } else { 1 };
            field.sends(SpoofedSource, "an ICMP error about another's packet", &ends.error(kind, &victim));
        }
        let probe = frames::arp(1, mac, Ipv4Addr::UNSPECIFIED, v4(field.two.addresses[0]));
        field.sends(SpoofedSource, "an ARP probe for another's address", &probe);
        let nobody = Ends { source: Ipv6Addr::UNSPECIFIED.into(), ..field.one.to(&field.two, 1) };
        for target in [field.two.addresses[1], link_local(field.two.mac), field.node[1]] {
            let body = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &v6(target).octets()].concat();
            let frame = frames::with_hop_limit(&nobody, 255, &body);
            field.sends(SpoofedSource, &format!("a search for who has {target}"), &frame);
        }
        let v6_ends = field.one.to(&field.two, 1);
        let as_v4 = Ends { source: v4(field.one.addresses[0]).to_ipv6_mapped().into(), ..v6_ends };
        let claim = frames::neighbour(&as_v4, 136, v6(field.two.addresses[1]), mac);
        field.sends(Malformed, "an advertisement from an IPv4 address", &claim);
        let mut letter = frames::arp(1, mac, v4(field.one.addresses[0]), v4(field.two.addresses[0]));
        letter.resize(1000, 7);
        field.sends(Malformed, "a letter behind an ARP request", &letter);
    });
}

#[test]
fn nobody_reaches_loopback_or_steers_multicast() {
    both_forms("loopback", |field| {
        for loopback in ["127.0.0.1", "127.9.9.9", "::1"] {
            let frame = field.one.out(loopback.parse().unwrap()).udp(FROM, 10_249);
            field.sends(Malformed, &format!("a datagram to {loopback}"), &frame);
        }
        let all = field.one.out("224.0.0.1".parse().unwrap());
        for (what, protocol, body) in [
            ("an IGMP query", 2, [0x11, 0, 0, 0, 0, 0, 0, 0]),
            ("multicast router discovery", 2, [0x30, 0, 0, 0, 0, 0, 0, 0]),
            ("a PIM hello", 103, [0x20, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let group = Ends { destination_mac: [1, 0, 0x5e, 0, 0, 1], ..all };
            field.sends(SpoofedSource, what, &group.ip(protocol, &body));
        }
        let snoopers = field.one.out("ff02::6a".parse().unwrap());
        let advertisement = frames::with_hop_limit(&snoopers, 1, &[151, 0, 0, 0, 0, 0, 0, 0]);
        field.sends(SpoofedSource, "multicast router discovery", &advertisement);
    });
}

#[test]
fn the_node_learns_no_stolen_neighbour() {
    inside::both_forms("poison", RED_AND_BLUE, |lab, cni| {
        let mut field = Field::new(&lab, cni);
        let mac = field.one.mac;
        let [a, b, c, d, e, f] = mac;
        let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let frame = frames::arp(2, mac, v4(field.two.addresses[0]), v4(field.node[0]));
        field.sends(SpoofedSource, "an ARP reply", &frame);
        let ends = field.one.out(field.node[1]);
        let frame = frames::neighbour(&ends, 136, v6(field.two.addresses[1]), mac);
        field.sends(SpoofedSource, "an advertisement", &frame);
        let neighbours = node(&lab).run(|| Command::new("ip").arg("neigh").output()).unwrap().unwrap();
        for line in String::from_utf8(neighbours.stdout).unwrap().lines().filter(|line| line.contains(&text)) {
            for stolen in field.two.addresses {
                assert!(!line.starts_with(&format!("{stolen} ")), "{line}");
            }
        }
    });
}

#[test]
fn an_address_that_a_pod_gave_itself_is_of_no_use() {
    both_forms("stolen", |field| {
        for (family, prefix) in [(0, 32), (1, 128)] {
            let stolen = field.two.addresses[family];
            let external: IpAddr = EXTERNAL[family].parse().unwrap();
            // The way out is known, so that the kernel has nothing to ask its neighbours under the stolen name.
            field.one.run(|| {
                let own = UdpSocket::bind(SocketAddr::new(field.one.addresses[family], 0)).unwrap();
                own.send_to(b"hello", (external, TO)).unwrap();
            });
            std::thread::sleep(std::time::Duration::from_millis(100));
            let nodad = if family == 1 { " nodad" } else { "" };
            field.one.ip(&format!("addr add {stolen}/{prefix} dev eth0{nodad}"));
            field.hears_nothing();
            field.counters.restart();
            field.one.run(|| {
                let socket = UdpSocket::bind(SocketAddr::new(stolen, FROM)).unwrap();
                for _ in 0..TIMES {
                    socket.send_to(b"hello", (external, TO)).unwrap();
                }
            });
            field.is_dropped(Egress, SpoofedSource, "a stolen address");
            assert_eq!(field.receivers[1].1.came(has_ports), 0, "it reached the world");
        }
    });
}

#[test]
fn what_no_pod_of_this_node_may_be_is_no_sender() {
    both_forms("uplink", |field| {
        for (family, unowned) in [(0, "10.244.77.7"), (1, "fd00:10:244::77")] {
            let ends = Ends {
                source_mac: [2, 0, 0, 0, 0, 9],
                destination_mac: field.uplink_mac,
                source: unowned.parse().unwrap(),
                destination: field.two.addresses[family],
            };
            field.arrives(UnknownEndpoint, "an address that no pod owns", true, &ends.udp(FROM, TO));
            let local = Ends { source: field.one.addresses[family], ..ends };
            field.arrives(SpoofedSource, "a local pod's address from the uplink", true, &local.udp(FROM, TO));
        }
    });
}

#[test]
fn link_local_addresses_lead_to_no_pod() {
    both_forms("link-local", |field| {
        let ends = field.one.to(&field.two, 1);
        let own = Ends { source: link_local(field.one.mac), ..ends };
        field.sends(SpoofedSource, "a link-local source", &own.udp(FROM, TO));
        let both = Ends { destination: link_local(field.two.mac), ..own };
        field.sends(SpoofedSource, "two link-local addresses", &both.udp(FROM, TO));
        let global = Ends { destination: link_local(field.two.mac), ..ends };
        field.sends(UnknownEndpoint, "a link-local destination", &global.udp(FROM, TO));
    });
}

#[test]
fn tunnels_and_tags_do_not_leave_the_pod() {
    both_forms("tunnel", |field| {
        for family in [0, 1] {
            let to_node = field.one.out(field.node[family]);
            for port in [4789, 6081, 8472] {
                field.sends(Tunnel, "a tunnel to the node", &to_node.udp(FROM, port));
            }
            let ends = field.one.to(&field.two, family);
            let inner = &ends.udp(FROM, TO)[12..];
            for tag in [0_u16, 5] {
                let frame = ends.ethernet(0x8100, &[&tag.to_be_bytes(), inner].concat());
                field.sends(UnsupportedProtocol, &format!("the VLAN tag {tag}"), &frame);
            }
        }
    });
}

#[test]
fn another_tenants_pod_gets_nothing() {
    both_forms("tenants", |field| {
        for (family, group) in [(0, "224.0.0.251"), (1, "ff02::fb")] {
            let direct = field.one.to(&field.two, family);
            field.arrives(TenantIsolation, "a datagram", false, &direct.udp(FROM, TO));
            if !matches!(field.cni, Cni::Bridge) {
                continue;
            }
            let destination_mac = if family == 0 { [1, 0, 0x5e, 0, 0, 0xfb] } else { [0x33, 0x33, 0, 0, 0, 0xfb] };
            let multicast = Ends { destination_mac, destination: group.parse().unwrap(), ..direct };
            field.arrives(TenantIsolation, "multicast", false, &multicast.udp(FROM, TO));
            let elsewhere = Ends { destination: EXTERNAL[family].parse().unwrap(), ..direct };
            field.arrives(WrongDestination, "a frame for another pod's MAC", false, &elsewhere.udp(FROM, TO));
        }
    });
}
