//! Random clusters: the naive evaluator, the compiled tables under `decide`, and the matrix say the same of every flow.
//!
//! `BULKHEAD_WORLDS` is how many.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::ask::{DirectionRecord, Engine, FlowPort, MatrixQuery, Record, Said};
use policy::compile::Ids;
use policy::model::Protocol;
use proptest::prelude::*;
use tests::host::HostNode;
use tests::witness::naive::{Flow, Seen, Side};
use tests::witness::random::{self, EXTERNALS, Extent};
use tests::witness::{Cluster, Enforced, check};

const INTERFACES: [u32; 6] = [11, 12, 13, 14, 15, 16];
const PORTS: [FlowPort; 7] = [
    FlowPort::Transport(Protocol::Tcp, 53),
    FlowPort::Transport(Protocol::Tcp, 80),
    FlowPort::Transport(Protocol::Tcp, 81),
    FlowPort::Transport(Protocol::Tcp, 8080),
    FlowPort::Transport(Protocol::Udp, 53),
    FlowPort::Transport(Protocol::Sctp, 80),
    FlowPort::Icmp,
];

#[test]
fn compiled_tables_say_what_the_api_says() {
    let flows = Cell::new(0);
    let worlds = check("BULKHEAD_WORLDS", 60, &random::cluster(Extent::Whole), |cluster| {
        let enforced = Enforced::new(&cluster, &INTERFACES, &Ids::default());
        let mut node = HostNode::new(enforced.compiled.desired.tables.clone());
        let agreed = enforced.compare(&Seen::of(&cluster), |direction, frame| {
            node.forget();
            node.run(direction, frame)
        });
        flows.set(flows.get() + agreed.map_err(TestCaseError::fail)?);
        Ok(())
    });
    println!("{worlds} worlds: naive = decide on {} flows", flows.get());
}

#[test]
fn the_matrix_says_what_the_api_says() {
    let verdicts = Cell::new(0);
    let worlds = check("BULKHEAD_WORLDS", 60, &random::cluster(Extent::Whole), |mut cluster| {
        cluster.unheard.clear();
        verdicts.set(verdicts.get() + matrix(&cluster)?);
        Ok(())
    });
    println!("{worlds} worlds: naive = matrix in {} directions", verdicts.get());
}

fn matrix(cluster: &Cluster) -> Result<usize, TestCaseError> {
    let (world, config) = (cluster.world(), cluster.config());
    let engine = Engine::new(&world, &config).expect("it compiles");
    let nodes = ["172.18.0.2", "172.18.0.3", "10.244.0.99"];
    let externals = EXTERNALS.iter().chain(&nodes).map(|text| text.parse().expect("an address")).collect();
    let query = MatrixQuery { ports: PORTS.to_vec(), externals, namespace: None };
    let matrix = engine.matrix(&query).expect("no external address is a pod's");
    let own: BTreeMap<String, (&str, &[IpAddr])> = world
        .pods
        .values()
        .filter(|pod| !pod.host_network)
        .map(|pod| (pod.key().to_string(), (pod.node.as_str(), pod.addresses.as_slice())))
        .collect();
    let seen = Seen::of(cluster);
    let mut agreed = 0;
    for record in matrix.records() {
        for (side, pod, address, said) in [
            (Side::Source, &record.from, record.to_ip, &record.egress),
            (Side::Destination, &record.to, record.from_ip, &record.ingress),
        ] {
            let Some((node, own)) = own.get(&**pod) else {
                prop_assert_eq!((said.verdict, said.reason), (Said::Allow, "not_judged"));
                continue;
            };
            let made_by_node = side == Side::Destination && seen.has(node, address);
            let flow = Flow { side, address, made_by_node, protocol: number(&record), port: record.port };
            let expected = seen.judge(pod, own, flow);
            let DirectionRecord { verdict, reason, rules, audited } = &**said;
            let agrees = expected.is(*verdict == Said::Allow, reason, rules, *audited);
            prop_assert!(agrees, "{}", format!("{pod} {flow:?}: {said:?}; the API says {expected:?}"));
            agreed += 1;
        }
    }
    Ok(agreed)
}

fn number(record: &Record) -> u8 {
    match (record.protocol, record.to_ip) {
        ("TCP", _) => 6,
        ("UDP", _) => 17,
        ("SCTP", _) => 132,
        (_, IpAddr::V4(_)) => 1,
        (_, IpAddr::V6(_)) => 58,
    }
}
