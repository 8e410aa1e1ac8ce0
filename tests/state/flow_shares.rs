//! The table of flows under a flood of one pod, on real veths: no connection of another ends, and none is refused. The
//! length of the flood is `BULKHEAD_SCAN` (SYNs; 10,000,000 for the long run).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::lab::{Cni, Lab};
use common::abi::Counter;
use tests::counters::Counters;
use tests::frames::{ACK, RST, SYN};
use tests::inside::Inside;
use tests::lab::{Tried, manifests};
use tests::live::{Connection, carries, listen};

/// More than the ring of flows that are not established has places.
const SCAN: u32 = 400_000;
const PORT: u16 = 5432;
/// `x/client` and `x/server` may do nothing but talk to each other on the port, where the client opens: what the table
/// forgets of that is dropped when the server speaks first. `y/scanner` is under no policy.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x, labels: {app: client}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x, labels: {app: server}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: scanner, namespace: y}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: x}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress, Egress]
  ingress: [{ports: [{port: 5432}, {port: 5432, protocol: UDP}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: client, namespace: x}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Ingress]}
";

struct Field {
    client: Inside,
    server: Inside,
    scanner: Inside,
    counters: Counters,
    /// In the order in which they go.
    _lab: (Lab, Tried),
}

impl Field {
    fn new(label: &str) -> Self {
        let tried = Tried::new(label);
        let lab = tried.up(manifests(WORLD), &Tried::options(Cni::Ptp));
        let [client, server] = ["client", "server"].map(|name| Inside::new(&lab, Cni::Ptp, "x", name));
        let scanner = Inside::new(&lab, Cni::Ptp, "y", "scanner");
        let counters = Counters::open(lab.name());
        Self { client, server, scanner, counters, _lab: (lab, tried) }
    }

    /// Sends SYNs, each of a flow of its own, to where nobody answers, and calls `beside` after each 50,000.
    fn scan(&self, syns: u32, mut beside: impl FnMut()) {
        let wire = self.scanner.wire();
        for number in 0..syns {
            let [_, net, host, low] = number.to_be_bytes();
            let ends = self.scanner.out(IpAddr::from([198, 18 + (net & 1), net, host]));
            wire.send(&ends.tcp(1024 + u16::from(low), 1024 + u16::from(net >> 1), SYN));
            if number % 50_000 == 0 {
                beside();
            }
        }
    }
}

/// Datagrams between the client and the server.
struct Datagrams {
    near: UdpSocket,
    far: UdpSocket,
}

impl Datagrams {
    fn open(field: &Field, far: &UdpSocket) -> Self {
        let at = SocketAddr::new(field.client.addresses[0], 0);
        let near = field.client.run(|| UdpSocket::bind(at).unwrap());
        near.connect(far.local_addr().unwrap()).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        Self { near, far: far.try_clone().unwrap() }
    }

    fn ask(&self) {
        self.near.send(b"ask").unwrap();
        let (_, from) = self.far.recv_from(&mut [0; 8]).expect("the question arrives");
        self.far.send_to(b"say", from).unwrap();
        self.near.recv(&mut [0; 8]).expect("the answer arrives");
    }

    /// Whether the server may speak first.
    fn is_alive(&self) -> bool {
        self.far.send_to(b"say", self.near.local_addr().unwrap()).unwrap();
        self.near.recv(&mut [0; 8]).is_ok()
    }
}

#[test]
fn a_scan_by_one_pod_ends_no_connection_of_another_and_refuses_none() {
    let syns = std::env::var("BULKHEAD_SCAN").map_or(SCAN, |syns| syns.parse().expect("a number of SYNs"));
    let field = Field::new("scan");
    let listener = listen(&field.server, 0, PORT);
    let mut idle: Vec<_> = (0..200).map(|_| Connection::to(&field.client, &listener)).collect();
    let served = SocketAddr::new(field.server.addresses[0], PORT);
    let far = field.server.run(|| UdpSocket::bind(served).unwrap());
    far.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let datagrams: Vec<_> = (0..50).map(|_| Datagrams::open(&field, &far)).collect();
    datagrams.iter().for_each(Datagrams::ask);
    // Longer than a question and its answer take.
    sleep(Duration::from_millis(2200));
    datagrams.iter().for_each(Datagrams::ask);

    let (began, mut beside) = (Instant::now(), 0);
    field.scan(syns, || {
        assert_eq!(Connection::to(&field.client, &listener).carries(), [true; 2], "a connection beside the scan");
        datagrams.iter().for_each(Datagrams::ask);
        beside += 1;
    });
    let maps = field.counters.maps();
    let evicted = maps.counter(Counter::FlowsEvicted).unwrap();
    println!("{syns} SYNs in {:.1?}, {beside} connections beside them, {evicted} flows evicted", began.elapsed());
    assert!(evicted > 1000, "the scan was to fill the ring: {evicted}");
    let usage = maps.usage().unwrap();
    let flow = usage.iter().find(|map| map.map == "FLOW").expect("the table of flows");
    assert!(flow.entries < flow.capacity, "{flow:?}");
    let lost = idle.iter_mut().filter_map(|idle| (!carries(&mut idle.far, &mut idle.near)).then_some(())).count();
    let mute = datagrams.iter().filter(|datagrams| !datagrams.is_alive()).count();
    assert_eq!((lost, mute), (0, 0), "idle connections and streams that the server cannot use any more");
    assert_eq!(maps.counter(Counter::FlowsUntracked).unwrap(), 0);
}

#[test]
fn a_reset_that_the_ends_ignore_ends_no_connection() {
    let field = Field::new("reset");
    let listener = listen(&field.server, 0, PORT);
    let mut connections = [Connection::to(&field.client, &listener), Connection::to(&field.client, &listener)];
    let there = field.client.to(&field.server, 0);
    for (connection, flags) in connections.iter().zip([RST, RST | ACK]) {
        let port = connection.near.local_addr().unwrap().port();
        // Beyond every window: the kernel's TCP ignores it (RFC 5961).
        let from_client = there.tcp(port, PORT, flags);
        field.client.wire().send(&from_client);
    }
    // Longer than a connection that both ends have closed was remembered before.
    sleep(Duration::from_secs(12));
    for connection in &mut connections {
        assert!(carries(&mut connection.far, &mut connection.near), "the server speaks first");
        assert_eq!(connection.carries(), [true; 2]);
    }
}
