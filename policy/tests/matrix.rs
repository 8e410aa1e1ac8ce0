//! The matrix, which judges groups of ends, says what each flow is told when it is asked about alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use policy::ask::{Engine, FlowPort, MatrixQuery, Record};
use policy::model::Protocol;
use proptest::prelude::*;
use world::{ip, random};

const PORTS: [FlowPort; 3] =
    [FlowPort::Transport(Protocol::Tcp, 80), FlowPort::Transport(Protocol::Udp, 53), FlowPort::Icmp];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_group_is_judged_like_each_of_its_ends(scene in random::scene(), host in any::<bool>()) {
        let mut scene = scene;
        if host && let Some(pod) = scene.world.pods.values_mut().next() {
            pod.host_network = true;
        }
        if host && let Some(pod) = scene.world.pods.values_mut().last() {
            pod.node = "other".to_owned();
        }
        let externals = ["198.51.100.1", "198.51.100.200", "10.244.0.99", "192.0.2.2", "2001:db8::1"].map(ip).to_vec();
        let engine = Engine::new(&scene.world, &scene.config).unwrap();
        let query = MatrixQuery { ports: PORTS.to_vec(), externals: externals.clone(), namespace: None };
        let matrix = engine.matrix(&query).unwrap();
        let pods = matrix.parties().len() - externals.len();
        let mut alone: Vec<Record> = Vec::new();
        for (source, from) in matrix.parties().iter().enumerate() {
            for (destination, to) in matrix.parties().iter().enumerate() {
                let between_pods = source < pods || destination < pods;
                if between_pods && from.address.is_ipv4() == to.address.is_ipv4() {
                    alone.extend(PORTS.map(|port| engine.ask(from, to, port)));
                }
            }
        }
        let together: Vec<Record> = matrix.records().collect();
        prop_assert_eq!(together.len(), alone.len());
        for (together, alone) in together.iter().zip(&alone) {
            prop_assert_eq!(together, alone);
        }
    }
}
