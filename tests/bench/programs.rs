//! The programs alone, by BPF_PROG_TEST_RUN: nanoseconds a packet, net of an empty program in the same run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use agent::kernel::AfterDnat;
use agent::kernel::Frame;
use anyhow::{Context, Result, ensure};
use aya::{TestRun as _, TestRunOptions};
use common::abi::Direction;
use nix::net::if_::if_nametoindex;
use tests::netns::TestNetNs;

use crate::empty::Empty;
use crate::frames::{self, ACK, Ends, SYN};
use crate::kernel::{self, Loaded};
use crate::report::{Budget, Row};
use crate::sample::{Samples, Table, shuffled};
use crate::worlds::{self, FIRST_PORT, Family, Local, Peers, Shape};

const PART: &str = "program";

/// Calls of one measurement, in turn with those of the empty program, and runs in each call of the kernel. Many short
/// ones, of which the least counts: no interrupt and no other process was in it.
const CALLS: u32 = 100;
const REPEAT: u32 = 1000;
/// Calls with one run each: what is measured only once a flow. Their clock costs more, the empty program's too.
const SINGLE: u16 = 1000;

const PASS: i32 = -1;
const DROP: i32 = 2;
/// Where the pod's peers are: any interface but the pod's own, whose packets are its own come back.
const UPLINK: u32 = 1;
const DENIED_PORT: u16 = 999;
const PEER_PORT: u16 = 9999;
const POD_MAC: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// A policy of one size, loaded.
struct Case {
    name: String,
    ends: Ends,
    is_cidr: bool,
    loaded: Loaded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    EstablishedToPod,
    EstablishedFromPod,
    DeniedToPod,
    DeniedFromPod,
    /// One run a call, as `New`.
    DeniedOnce,
    New,
}

impl Measure {
    const ALL: [Self; 6] = [
        Self::EstablishedToPod,
        Self::EstablishedFromPod,
        Self::DeniedToPod,
        Self::DeniedFromPod,
        Self::DeniedOnce,
        Self::New,
    ];
}

/// Measures `rounds` rounds of the cases whose names hold `only`.
///
/// # Errors
/// The kernel refuses something, or a packet gets another verdict than the one that is measured.
pub fn run(rounds: u32, only: &str) -> Result<Vec<Row>> {
    let node = TestNetNs::new("bench-programs");
    node.ip("link add vpod type veth peer name eth0");
    node.ip("link set vpod up");
    node.run(|| measure(rounds, only))?
}

fn measure(rounds: u32, only: &str) -> Result<Vec<Row>> {
    let ifindex = if_nametoindex("vpod")?;
    let empty = Empty::load()?;
    let mut cases = cases(ifindex, only)?;
    let mut samples: Table<(usize, Measure)> = Table::new();
    for round in 0..rounds {
        println!("── program: round {} of {rounds}", round + 1);
        for which in shuffled(cases.len(), u64::from(round)) {
            for measure in Measure::ALL {
                let net = cases[which].measure(measure, round, ifindex, &empty)?;
                samples.entry((which, measure)).or_default().add(net);
            }
        }
    }
    Ok(rows(&cases, &samples))
}

fn cases(ifindex: u32, only: &str) -> Result<Vec<Case>> {
    let base = Shape { peers: Peers::Pods(1), rules: 1, ports: 1, family: Family::V4 };
    let v6 = Shape { family: Family::V6, ..base };
    let shapes = [
        ("1 pod peer", base),
        ("1,000 pod peers", Shape { peers: Peers::Pods(1000), ..base }),
        ("50,000 pod peers", Shape { peers: Peers::Pods(50_000), ..base }),
        ("1 CIDR peer", Shape { peers: Peers::Blocks(1), ..base }),
        ("1,000 CIDR peers", Shape { peers: Peers::Blocks(1000), ..base }),
        ("50,000 CIDR peers", Shape { peers: Peers::Blocks(50_000), ..base }),
        ("1,000 rules", Shape { rules: 1000, ..base }),
        ("100 ports", Shape { ports: 100, ..base }),
        ("IPv6, 1 pod peer", v6),
        ("IPv6, 50,000 pod peers", Shape { peers: Peers::Pods(50_000), ..v6 }),
        ("IPv6, 50,000 CIDR peers", Shape { peers: Peers::Blocks(50_000), ..v6 }),
    ];
    let load = |(number, (name, shape)): (usize, (&str, Shape))| {
        println!("── program: compiling and loading {name}");
        Case::load(name, shape, &format!("bench-program-{number}"), ifindex)
    };
    shapes.into_iter().filter(|(name, _)| name.contains(only)).enumerate().map(load).collect()
}

impl Case {
    fn load(name: &str, shape: Shape, pins: &str, ifindex: u32) -> Result<Self> {
        let v4 = IpAddr::from(Ipv4Addr::new(10, 244, 2, 2));
        let v6 = IpAddr::from(Ipv6Addr::from(0xfd00_0010_0244_u128 << 80 | 2));
        let local = Local { name: worlds::POD, ifindex, mac: POD_MAC, addresses: vec![v4, v6] };
        let loaded = kernel::load(pins, &worlds::judged(shape, local)?, AfterDnat::Off).context(name.to_owned())?;
        let peer = match shape.peers {
            Peers::Pods(count) => worlds::peer(shape.family, count / 2),
            Peers::Blocks(count) => worlds::inside(shape.family, count / 2),
        };
        let pod = if shape.family == Family::V4 { v4 } else { v6 };
        let ends = Ends { pod: (pod, FIRST_PORT), peer: (peer, PEER_PORT), pod_mac: POD_MAC };
        Ok(Self { name: name.to_owned(), ends, is_cidr: matches!(shape.peers, Peers::Blocks(_)), loaded })
    }

    /// Nanoseconds a packet, less what the empty program takes for the same frame.
    fn measure(&mut self, measure: Measure, round: u32, ifindex: u32, empty: &Empty) -> Result<f64> {
        let ends = self.ends;
        let denied = Ends { pod: (ends.pod.0, DENIED_PORT), ..ends };
        let denied_outside = Ends { peer: (ends.peer.0, DENIED_PORT), ..ends };
        match measure {
            Measure::EstablishedToPod => {
                self.time(Direction::Ingress, &frames::to_pod(&ends, SYN), ifindex, PASS, 1)?;
                self.net(Direction::Ingress, &frames::to_pod(&ends, ACK), ifindex, PASS, empty)
            }
            Measure::EstablishedFromPod => {
                self.time(Direction::Ingress, &frames::to_pod(&ends, SYN), ifindex, PASS, 1)?;
                self.net(Direction::Egress, &frames::from_pod(&ends, ACK), ifindex, PASS, empty)
            }
            Measure::DeniedToPod => self.net(Direction::Ingress, &frames::to_pod(&denied, SYN), ifindex, DROP, empty),
            Measure::DeniedFromPod => {
                self.net(Direction::Egress, &frames::from_pod(&denied_outside, SYN), ifindex, DROP, empty)
            }
            Measure::DeniedOnce => self.once(&denied, round, ifindex, DROP, empty),
            Measure::New => self.once(&ends, round, ifindex, PASS, empty),
        }
    }

    fn net(&mut self, direction: Direction, frame: &[u8], ifindex: u32, verdict: i32, empty: &Empty) -> Result<f64> {
        let (mut ours, mut nothing) = (Samples::default(), Samples::default());
        for _ in 0..CALLS {
            ours.add(nanoseconds(self.time(direction, frame, ifindex, verdict, REPEAT)?));
            nothing.add(nanoseconds(time_empty(empty, frame, REPEAT)?));
        }
        Ok(ours.least() - nothing.least())
    }

    /// The median of single runs, each with a port of its own at the peer's end, never used before.
    fn once(&mut self, ends: &Ends, round: u32, ifindex: u32, verdict: i32, empty: &Empty) -> Result<f64> {
        let (mut ours, mut nothing) = (Samples::default(), Samples::default());
        for number in 0..SINGLE {
            let port = 10_000 + (round as u16 % 50) * SINGLE + number;
            let frame = frames::to_pod(&Ends { peer: (ends.peer.0, port), ..*ends }, SYN);
            ours.add(nanoseconds(self.time(Direction::Ingress, &frame, ifindex, verdict, 1)?));
            nothing.add(nanoseconds(time_empty(empty, &frame, 1)?));
        }
        Ok(ours.median() - nothing.median())
    }

    fn time(&mut self, direction: Direction, frame: &[u8], ifindex: u32, verdict: i32, n: u32) -> Result<Duration> {
        let ingress_ifindex = match direction {
            Direction::Egress => ifindex,
            Direction::Ingress => UPLINK,
        };
        let frame = Frame { bytes: frame, ifindex, ingress_ifindex };
        let ran = self.loaded.datapath.test_run(direction, &frame, n)?;
        let (name, action, way) = (&self.name, ran.action, direction.name());
        ensure!(action == verdict, "{name}: the program for {way} answers {action} where {verdict} is measured");
        Ok(ran.duration)
    }
}

fn time_empty(empty: &Empty, frame: &[u8], repeat: u32) -> Result<Duration> {
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
    Ok(empty.program()?.test_run(options).context("the kernel does not run the empty program")?.duration)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

fn rows(cases: &[Case], samples: &Table<(usize, Measure)>) -> Vec<Row> {
    let mut rows = Vec::new();
    for measure in Measure::ALL {
        for (which, case) in cases.iter().enumerate() {
            let median = |measure| samples.get(&(which, measure)).map_or(f64::NAN, Samples::median);
            let denied = if case.is_cidr { 210.0 } else { 110.0 };
            let (name, value, budget) = match measure {
                Measure::EstablishedToPod => ("established, to the pod", median(measure), Some(60.0)),
                Measure::EstablishedFromPod => ("established, reply from the pod", median(measure), Some(60.0)),
                Measure::DeniedToPod => ("denied, to the pod", median(measure), Some(denied)),
                Measure::DeniedFromPod => ("denied, from the pod", median(measure), Some(denied)),
                Measure::DeniedOnce => ("denied, one run a call", median(measure), None),
                Measure::New => ("new, over denied", median(measure) - median(Measure::DeniedOnce), Some(300.0)),
            };
            let name = format!("{name}: {}", case.name);
            rows.push(Row::new(PART, name, value, "ns", budget.map(Budget::AtMost)));
        }
    }
    rows
}
