//! Attacks of a tenant's pods that need the real kube-proxy and a real network of nodes (docs/threat-model.md), each
//! beside what must work: what is permitted, with the agents, and the attack itself, without them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::field::{FOLLOWED, Field, OUTSIDE, at, plain, slice};
use tests::cluster::{PodNetwork, eventually};
use tests::frames::{self, Ends};
use tests::wire::{Wire, mac_of};

/// Of an agnhost that serves UDP.
const UDP_PORT: u16 = 8081;

/// 09: another tenant's NodePort where no Node object says that a node is: that of a pod of the node that is called, and
/// that of a pod which sees the node as the one who calls.
fn node_ports_at_unlisted_addresses(field: &mut Field) {
    let control = field.control("plain", at([10, 89, 0, 12], 30108), "own");
    for (address, what) in [
        ([10, 244, 2, 1], "the gateway of another node's pods"),
        ([10, 89, 0, 99], "an unlisted address"),
        ([10, 89, 0, 12], "a listed address"),
    ] {
        for (victim, port) in [("server", 30109), ("beside", 30110)] {
            let harm = field.answers("plain", at(address, port)).contains(victim).then(|| format!("{victim} answers"));
            field.note("09", &format!("NodePort of {victim} of another tenant at {what}"), control, harm);
        }
    }
}

/// 01: fragments that do not fit together again.
fn odd_fragments(field: &mut Field) {
    let control = fragments_arrive(field, "near");
    let harm = fragments_arrive(field, "shut").then(|| "datagrams arrive".to_owned());
    field.note("01", "IPv6 fragments with an options header in the first", control, harm);
}

/// Whether a fragmented datagram of `attacker` arrives at a pod of its node.
fn fragments_arrive(field: &Field, to: &str) -> bool {
    const PORT: u16 = 47_777;
    let (from, to) = (&field.pods["attacker"], &field.pods[to]);
    let socket = to.udp(1, PORT);
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let wire = Wire::open(&from.netns, "eth0");
    let [IpAddr::V6(source), IpAddr::V6(destination)] = [from.addresses[1], to.addresses[1]] else {
        panic!("the second address is IPv6");
    };
    let ends = Ends {
        source_mac: mac_of(&from.netns, "eth0"),
        destination_mac: gateway_mac(from),
        source: source.into(),
        destination: destination.into(),
    };
    let datagram = checked_udp(source, destination, 47_001, PORT, &[7; 56]);
    let (first, second) = datagram.split_at(32);
    (0..5).any(|id| {
        let first = frames::fragment_header(17, 0, true, id, first);
        wire.send(&ends.ip(60, &frames::extension(44, &first)));
        wire.send(&ends.ip(44, &frames::fragment_header(17, 4, false, id, second)));
        socket.recv(&mut [0; 128]).is_ok()
    })
}

/// 14: the agents' ports, at the nodes' addresses and by way of a Service.
fn ports_of_agents(field: &mut Field) {
    const PORT: u16 = 9469;
    let spec = json!({"clusterIP": "10.96.30.14", "ports": [{"port": 80}]});
    let objects = [plain("figures", &spec), slice("figures", "figures-1", "10.89.0.12", PORT)];
    field.apply(&objects);
    sleep(FOLLOWED);
    let control = field.cluster.try_metric(2, "bulkhead_endpoints", &[]).is_some();
    for (to, what) in [
        (at([10, 89, 0, 11], PORT), "the own node"),
        (at([10, 89, 0, 12], PORT), "another node"),
        (at([10, 96, 30, 14], 80), "another node by way of a Service"),
    ] {
        let harm = field.pods["plain"].reaches(to).then(|| "the agent answers".to_owned());
        field.note("14", &format!("the agent's port of {what}"), control, harm);
    }
    field.delete(&objects);
}

/// 16: an error of a stranger that quotes a flow of `client`.
fn forged_errors(field: &mut Field) {
    let server = at(field.address("server"), UDP_PORT);
    let closed = at(field.address("server"), 9);
    let control = is_refused(field, closed, None) && answers_udp(field, server);
    for (to, what) in [(server, "a pod"), (at([10, 96, 30, 3], UDP_PORT), "a ClusterIP")] {
        let harm = is_refused(field, to, Some("attacker")).then(|| "the victim's lookup ends".to_owned());
        field.note("16", &format!("an ICMP error that quotes a flow to {what}"), control, harm);
    }
}

fn answers_udp(field: &Field, to: SocketAddr) -> bool {
    let socket = field.pods["client"].udp(0, 0);
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    socket.send_to(b"hostname", to).is_ok() && socket.recv(&mut [0; 128]).is_ok()
}

/// Whether a socket of `client` is told that nobody is there, by the network or by a forger.
fn is_refused(field: &Field, to: SocketAddr, forger: Option<&str>) -> bool {
    let client = &field.pods["client"];
    let socket = client.run(|| {
        let socket = UdpSocket::bind((client.addresses[0], 0)).expect("a port");
        socket.connect(to).expect("a route");
        socket
    });
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let _ = socket.send(b"hostname");
    if let Some(forger) = forger {
        let _ = socket.recv(&mut [0; 128]); // The answer, which the error comes behind.
        let port = socket.local_addr().expect("a port").port();
        forge(field, forger, client.addresses[0], port, to);
    }
    (0..4).any(|_| socket.recv(&mut [0; 128]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
}

fn forge(field: &Field, forger: &str, victim: IpAddr, port: u16, to: SocketAddr) {
    let from = &field.pods[forger];
    let wire = Wire::open(&from.netns, "eth0");
    let ends = Ends {
        source_mac: mac_of(&from.netns, "eth0"),
        destination_mac: gateway_mac(from),
        source: from.addresses[0],
        destination: victim,
    };
    let quoted = Ends { source: victim, destination: to.ip(), ..ends };
    for _ in 0..5 {
        wire.send(&port_unreachable(&ends, &quoted.udp(port, to.port())));
        sleep(Duration::from_millis(50));
    }
}

/// 06: a Service with more addresses and ports than a map holds keys.
fn vast_service(field: &mut Field) {
    /// Of an agent that is not optimised, on a busy machine.
    const DELAY: Duration = Duration::from_secs(5);
    let addresses: Vec<String> =
        (0..400).map(|number| format!("203.0.{}.{}", number / 200, number % 200 + 1)).collect();
    let ports: Vec<Value> = (0..100).map(|port| json!({"name": format!("p{port}"), "port": 1000 + port})).collect();
    let objects = [plain("vast", &json!({"externalIPs": addresses, "selector": {"app": "own"}, "ports": ports}))];
    let alone = change_of_victim(field);
    field.apply(&objects);
    sleep(FOLLOWED);
    let beside = change_of_victim(field);
    field.delete(&objects);
    println!("another tenant's policy is in force after {alone:?}, beside the vast Service after {beside:?}");
    let is_late = beside.zip(alone).is_none_or(|(beside, alone)| beside > alone + DELAY);
    let harm = is_late.then(|| format!("another's policy after {beside:?}"));
    field.note("06", "a Service of 40,000 keys, and another tenant's policy", alone.is_some(), harm);
}

/// How long `client` is still answered once the API server has a policy that forbids it. `None`: for ever.
fn change_of_victim(field: &Field) -> Option<Duration> {
    let to = at([10, 96, 30, 1], 80);
    let ask = || field.pods["client"].ask(to);
    let close = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "blue", "name": "close"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]}});
    eventually("the victim is answered", 60, ask);
    field.apply(std::slice::from_ref(&close));
    let (began, mut answered) = (Instant::now(), Duration::ZERO);
    let closed = loop {
        match ask() {
            None => break Some(answered),
            Some(_) if began.elapsed() > Duration::from_secs(40) => break None,
            Some(_) => answered = began.elapsed(),
        }
    };
    field.delete(&[close]);
    closed
}

/// What the attacks want is there for the taking where no agent is.
fn everything_is_reached(field: &Field) {
    let outside: SocketAddr = OUTSIDE.parse().expect("an address");
    for (from, to, answer) in [
        ("attacker", outside, "outside"),
        ("plain", at([10, 244, 2, 1], 30109), "server"),
        ("plain", at([10, 89, 0, 99], 30109), "server"),
        ("plain", at([10, 89, 0, 99], 30110), "beside"),
        ("client", at([10, 96, 30, 1], 80), "server"),
    ] {
        eventually(&format!("{to} without an agent"), 60, || field.control(from, to, answer).then_some(()));
    }
    assert!(fragments_arrive(field, "shut"), "fragments do not arrive without an agent");
    let forged = is_refused(field, at(field.address("server"), UDP_PORT), Some("attacker"));
    assert!(forged, "a forged error does no harm without an agent");
}

/// The MAC address of a pod's gateway.
fn gateway_mac(pod: &PodNetwork) -> [u8; 6] {
    let line = pod.run(|| {
        // So that the neighbour is known.
        let _ = UdpSocket::bind((pod.addresses[0], 0)).and_then(|socket| socket.send_to(b"x", "10.89.0.1:9"));
        sleep(Duration::from_millis(200));
        std::fs::read_to_string("/proc/thread-self/net/arp").expect("neighbours")
    });
    let mac = line.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)).next().expect("a neighbour");
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a MAC address")).collect();
    bytes.try_into().expect("six bytes")
}

/// A UDP datagram with its checksum, which IPv6 asks for.
fn checked_udp(
    source: std::net::Ipv6Addr,
    destination: std::net::Ipv6Addr,
    from: u16,
    to: u16,
    data: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("a short datagram");
    let mut datagram = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    datagram.extend(data);
    let pseudo =
        [&source.octets()[..], &destination.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 17]].concat();
    let sum = frames::checksum(&[&pseudo[..], &datagram].concat());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// An ICMP error as the host would send it that a datagram was for.
fn port_unreachable(ends: &Ends, frame: &[u8]) -> Vec<u8> {
    let mut body = [&[3, 3, 0, 0, 0, 0, 0, 0], &frame[14..]].concat();
    let sum = frames::checksum(&body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    ends.ip(1, &body)
}

#[test]
fn no_packet_of_a_tenant_moves_another_s_wall() {
    let mut field = Field::new();
    everything_is_reached(&field);
    let _agents = field.defend(env!("CARGO_BIN_EXE_tested-bulkhead"));
    node_ports_at_unlisted_addresses(&mut field);
    odd_fragments(&mut field);
    forged_errors(&mut field);
    ports_of_agents(&mut field);
    vast_service(&mut field);
    field.judge();
}
