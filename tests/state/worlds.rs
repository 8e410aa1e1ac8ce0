//! Random clusters in a lab: a real packet for every pair and port arrives where the naive evaluator says that it does, and
//! is dropped by the end that it says, for that reason.
//!
//! `BULKHEAD_LAB_WORLDS` is how many.
#![allow(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Instant;

use agent::lab::{Checked, Cni, Lab};
use policy::ask::{FlowPort, Said};
use policy::model::{Pod, Protocol};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tests::lab::Tried;
use tests::witness::naive::{self, Flow, Seen, Side};
use tests::witness::random::{self, Extent};
use tests::witness::{Cluster, check};

const PORTS: [FlowPort; 5] = [
    FlowPort::Transport(Protocol::Tcp, 80),
    FlowPort::Transport(Protocol::Tcp, 81),
    FlowPort::Transport(Protocol::Udp, 53),
    FlowPort::Transport(Protocol::Sctp, 80),
    FlowPort::Icmp,
];

/// One lab is changed from world to world, where its configuration is the same.
#[test]
fn real_packets_do_what_the_api_says() {
    let (number, packets, started) = (Cell::new(0), Cell::new(0), Instant::now());
    let worlds = check("BULKHEAD_LAB_WORLDS", 3, &random::cluster(Extent::OneNode), |cluster| {
        number.set(number.get() + 1);
        let config = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(config.path(), cluster.config.to_string()).expect("to write it");
        let tried = Tried::new(&format!("world{}", number.get()));
        let cni = if number.get() % 2 == 0 { Cni::Bridge } else { Cni::Ptp };
        let mut options = Tried::options(cni);
        options.config = Some(config.path().to_owned());
        let lab = tried.up(cluster.manifests(), &options);
        packets.set(packets.get() + compare(&lab, &cluster)?);
        Ok(())
    });
    println!("{worlds} worlds: naive = {} real packets in {:.0?}", packets.get(), started.elapsed());
}

fn compare(lab: &Lab, cluster: &Cluster) -> Result<usize, TestCaseError> {
    let world = lab.world().expect("the lab's world");
    let seen = Seen::of(cluster);
    let report = lab.check(&PORTS, || Ok(())).expect("packets to send");
    let pod = |name: &str| world.pods.values().find(|pod| !pod.host_network && pod.key().to_string() == name);
    for checked in &report.verdicts {
        let record = &checked.record;
        let flow = |side, address, made_by_node| Flow {
            side,
            address,
            made_by_node,
            protocol: number(record.protocol, address),
            port: record.port,
        };
        let judged = |name: &str, flow: Flow| pod(name).map(|pod: &Pod| seen.judge(name, &pod.addresses, flow));
        let by_node = pod(&record.from).is_none();
        let egress = judged(&record.from, flow(Side::Source, record.to_ip, false));
        let ingress = judged(&record.to, flow(Side::Destination, record.from_ip, by_node));
        agrees(checked, &[("egress", egress), ("ingress", ingress)])?;
    }
    Ok(report.verdicts.len())
}

/// The sender's veth comes first.
fn agrees(checked: &Checked, said: &[(&'static str, Option<naive::Said>); 2]) -> TestCaseResult {
    let dropped = said.iter().find(|(_, said)| said.as_ref().is_some_and(|said| !said.allowed));
    let expected = match dropped {
        None => (Said::Allow, None, None),
        Some((direction, said)) => (Said::Drop, Some(*direction), said.as_ref().map(|said| said.reason)),
    };
    let observed = (checked.observed, checked.observed_direction, checked.observed_reason);
    prop_assert_eq!(observed, expected, "{:?}; the API says {:?}", checked, said);
    Ok(())
}

fn number(protocol: &str, address: IpAddr) -> u8 {
    match (protocol, address) {
        ("TCP", _) => 6,
        ("UDP", _) => 17,
        ("SCTP", _) => 132,
        (_, IpAddr::V4(_)) => 1,
        (_, IpAddr::V6(_)) => 58,
    }
}
