//! `endpoints.routers`: a pod that an administrator names forwards for others, one that only looks like it does not,
//! and neither speaks for a pod or a node.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::lab::{Cni, Lab, UpOptions};
use common::abi::Direction::{self, Egress, Ingress};
use common::abi::DropReason::{self, SpoofedSource, WrongDestination};
use tests::counters::{Counted, Counters};
use tests::frames::{self, Ends};
use tests::inside::{EXTERNAL, Inside, listing, node, outside, with_world};
use tests::lab::{Tried, manifests};
use tests::wire::{Wire, mac_of};

const CONFIG: &str = "endpoints: {routers: [{namespace: vpn, podLabels: {app: gateway}}]}";
/// `same/gateway` has the labels of the router and not its namespace, `vpn/plain` the other way round.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: gateway, namespace: vpn, labels: {app: gateway}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: plain, namespace: vpn, labels: {app: plain}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gateway, namespace: same, labels: {app: gateway}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: apps}}
";
/// Who stands behind the router, of each family.
const BEHIND: [&str; 2] = ["203.0.113.9", "2001:db8:9::9"];
const TIMES: u64 = 3;
const FROM: u16 = 47_021;
const TO: u16 = 47_022;

struct Field {
    lab: Lab,
    cni: Cni,
    counters: Counters,
}

impl Field {
    fn pod(&self, namespace: &str, name: &str) -> Inside {
        Inside::new(&self.lab, self.cni, namespace, name)
    }

    /// Sends a frame from a pod to another: how many arrived, and what was dropped.
    fn send(&mut self, from: &Inside, to: &Inside, frame: &[u8]) -> (usize, Counted) {
        let (wire, receiver) = (from.wire(), to.wire());
        self.counters.restart();
        (0..TIMES).for_each(|_| wire.send(frame));
        self.arrived(&receiver)
    }

    fn arrived(&self, receiver: &Wire) -> (usize, Counted) {
        let deadline = Instant::now() + Duration::from_secs(3);
        let (mut came, mut dropped) = (0, Counted::new());
        while Instant::now() < deadline && (came as u64) + dropped.values().sum::<u64>() < TIMES {
            sleep(Duration::from_millis(5));
            came += receiver.came(ours);
            dropped = self.counters.since();
        }
        (came, dropped)
    }

    /// The node sends what is for an address to a pod.
    fn route(&self, to: &str, by: &Inside) {
        let via = by.addresses[usize::from(to.contains(':'))];
        let device = if self.cni == Cni::Bridge { "cni0" } else { &by.veth };
        let arguments = format!("route replace {to} via {via} dev {device} onlink");
        let run = || Command::new("ip").args(arguments.split_whitespace()).status();
        assert!(node(&self.lab).run(run).unwrap().unwrap().success(), "ip {arguments}");
    }
}

fn ours(frame: &[u8]) -> bool {
    let ports = [FROM.to_be_bytes(), TO.to_be_bytes()].concat();
    frame.windows(4).any(|window| window == ports)
}

fn all(direction: Direction, reason: DropReason) -> (usize, Counted) {
    (0, Counted::from([((direction, reason), TIMES)]))
}

fn passed() -> (usize, Counted) {
    (TIMES as usize, Counted::new())
}

fn both_forms(label: &str, test: impl Fn(&mut Field, usize)) {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(CONFIG.as_bytes()).unwrap();
    for cni in [Cni::Ptp, Cni::Bridge] {
        let tried = Tried::new(&format!("{label}-{cni}"));
        let options = UpOptions { config: Some(config.path().to_owned()), ..with_world(cni) };
        let lab = tried.up(manifests(WORLD), &options);
        let counters = Counters::open(lab.name());
        let mut field = Field { lab, cni, counters };
        (0..2).for_each(|family| test(&mut field, family));
    }
}

#[test]
fn a_named_router_sends_for_who_is_behind_it_and_nobody_else_does() {
    both_forms("forwards", |field, family| {
        let server = field.pod("apps", "server");
        let behind: IpAddr = BEHIND[family].parse().unwrap();
        for (namespace, name, expected) in [
            ("vpn", "gateway", passed()),
            ("vpn", "plain", all(Egress, SpoofedSource)),
            ("same", "gateway", all(Egress, SpoofedSource)),
        ] {
            let pod = field.pod(namespace, name);
            let ends = Ends { source: behind, ..pod.to(&server, family) };
            assert_eq!(
                field.send(&pod, &server, &ends.udp(FROM, TO)),
                expected,
                "{namespace}/{name} {behind} {}",
                field.cni
            );
        }
    });
}

#[test]
fn a_router_speaks_for_no_pod_and_for_no_node() {
    both_forms("speaks", |field, family| {
        let (router, server) = (field.pod("vpn", "gateway"), field.pod("apps", "server"));
        let others = [("vpn", "plain"), ("same", "gateway")].map(|(a, b)| field.pod(a, b).addresses[family]);
        let unknown = ["10.244.200.1", "fd00:10:244::200:1"][family].parse().unwrap();
        let listing = listing(&field.lab);
        let of_node = listing["node"]["ips"][family].as_str().unwrap().parse().unwrap();
        for source in others.into_iter().chain([unknown, of_node]) {
            let ends = Ends { source, ..router.to(&server, family) };
            let spoofed = all(Egress, SpoofedSource);
            assert_eq!(field.send(&router, &server, &ends.udp(FROM, TO)), spoofed, "{source} {}", field.cni);
            let claim = match source {
                IpAddr::V4(source) => frames::arp(2, router.mac, source, Ipv4Addr::new(10, 244, 0, 9)),
                IpAddr::V6(source) => frames::neighbour(&ends, 136, source, router.mac),
            };
            assert_eq!(field.send(&router, &server, &claim), spoofed, "{source} is claimed {}", field.cni);
        }
    });
}

#[test]
fn a_named_router_gets_what_is_for_who_is_behind_it_and_nobody_else_does() {
    both_forms("gets", |field, family| {
        let uplink = Wire::open(&outside(&field.lab), "uplink");
        let ends = Ends {
            source_mac: mac_of(&outside(&field.lab), "uplink"),
            destination_mac: mac_of(&node(&field.lab), "uplink"),
            source: EXTERNAL[family].parse().unwrap(),
            destination: BEHIND[family].parse().unwrap(),
        };
        for (name, expected) in [("gateway", passed()), ("plain", all(Ingress, WrongDestination))] {
            let pod = field.pod("vpn", name);
            field.route(BEHIND[family], &pod);
            let receiver = pod.wire();
            field.counters.restart();
            (0..TIMES).for_each(|_| uplink.send(&ends.udp(FROM, TO)));
            assert_eq!(field.arrived(&receiver), expected, "vpn/{name} {}", field.cni);
        }
    });
}
