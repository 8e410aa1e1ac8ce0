//! The change that an explanation proposes lets the flow pass, opens nothing else and shuts nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use std::collections::BTreeMap;

use policy::ask::{End, Engine, FlowPort, MatrixQuery, Proposal, Record, Said};
use policy::model::{Labels, Pod, Protocol, World};
use proptest::prelude::*;
use world::{Scene, ip, random};

const PORTS: [FlowPort; 3] = [
    FlowPort::Transport(Protocol::Tcp, 80),
    FlowPort::Transport(Protocol::Tcp, 81),
    FlowPort::Transport(Protocol::Udp, 53),
];

fn records(scene: &Scene) -> Vec<Record> {
    let externals = ["198.51.100.1", "198.51.100.200", "192.0.2.2", "2001:db8::1"].map(ip).to_vec();
    let query = MatrixQuery { ports: PORTS.to_vec(), externals, namespace: None };
    Engine::new(&scene.world, &scene.config).unwrap().matrix(&query).unwrap().records().collect()
}

/// Ends that no selector of labels can tell apart.
fn likeness(world: &World, end: &str) -> Result<(String, Labels), String> {
    let pod: BTreeMap<String, &Pod> = world.pods.iter().map(|(key, pod)| (key.to_string(), pod)).collect();
    pod.get(end).map(|pod| (pod.namespace.clone(), pod.labels.clone())).ok_or_else(|| end.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn the_proposed_change_lets_the_flow_pass_and_no_other(scene in random::scene(), pick in any::<prop::sample::Index>()) {
        let before = records(&scene);
        let dropped: Vec<&Record> = before.iter().filter(|record| record.verdict == Said::Drop).collect();
        prop_assume!(!dropped.is_empty());
        let asked = *pick.get(&dropped);
        let port = format!("{}/{}", asked.protocol, asked.port).parse::<FlowPort>().unwrap();
        let engine = Engine::new(&scene.world, &scene.config).unwrap();
        let ends = [asked.from_ip, asked.to_ip].map(End::Address);
        let explanation = engine.explain(&ends[0], &ends[1], port).unwrap();
        prop_assert!(!explanation.change.is_empty());
        let proposals: Option<Vec<&Proposal>> = explanation.change.iter().map(|change| change.apply.as_ref()).collect();
        let Some(proposals) = proposals else {
            let reasons = [asked.egress.reason, asked.ingress.reason];
            // No policy can name a pod whose Namespace nobody knows, and no ingress rule of a ClusterNetworkPolicy what
            // is no pod.
            let stranger = [&asked.from, &asked.to].iter().any(|end| end.starts_with("lost/"));
            let outside = !asked.from.contains('/') && asked.ingress.reason == "cluster_policy";
            prop_assert!(outside || stranger, "{:?} {:?}", reasons, explanation.change);
            return Ok(());
        };
        let mut changed = scene.clone();
        proposals.iter().for_each(|proposal| proposal.apply_to(&mut changed.world));
        let after = records(&changed);
        prop_assert_eq!(before.len(), after.len());
        let alike = |record: &Record| [&record.from, &record.to].map(|end| likeness(&scene.world, end));
        for (before, after) in before.iter().zip(&after) {
            if (&before.from, before.from_ip, &before.to, before.port) == (&asked.from, asked.from_ip, &asked.to, asked.port)
                && before.protocol == asked.protocol
            {
                prop_assert_eq!(after.verdict, Said::Allow, "{:?}", explanation);
            }
            if before.verdict != after.verdict {
                prop_assert_eq!(after.verdict, Said::Allow, "{:?} shut {:?}", explanation, after);
                prop_assert_eq!(alike(after), alike(asked), "{:?} opened {:?}", explanation, after);
                prop_assert_eq!((after.protocol, after.port), (asked.protocol, asked.port));
            }
        }
    }
}
