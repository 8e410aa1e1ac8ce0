//! What a state between two worlds may allow: nothing that both forbid.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::abi::{Address, Direction, Endpoint, Peer, PeerKind, PortKey};
use common::decide::{Question, Verdict, judge};
use policy::compile::Tables;
use policy::plan::Op;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tests::witness::random;

const PORTS: [PortKey; 6] = [
    PortKey::new(6, 53),
    PortKey::new(6, 80),
    PortKey::new(6, 81),
    PortKey::new(17, 53),
    PortKey::new(132, 8080),
    PortKey::new(1, 0),
];

/// By endpoint: for each of [`Bounds::questions`] whether the packet passes.
type Passes = BTreeMap<u32, Vec<bool>>;

/// The worlds before and after a plan.
pub struct Bounds {
    questions: Vec<(IpAddr, Direction, PortKey)>,
    before: Passes,
    after: Passes,
}

impl Bounds {
    pub fn new(before: &Tables, after: &Tables) -> Self {
        let mut questions = Vec::new();
        for address in random::addresses() {
            for direction in Direction::ALL {
                questions.extend(PORTS.map(|port| (address, direction, port)));
            }
        }
        let [before, after] = [before, after].map(|tables| passes(tables, &questions));
        Self { questions, before, after }
    }

    /// The state that an operation led to.
    pub fn check(&self, state: &Tables, op: &Op) -> TestCaseResult {
        if matches!(op, Op::SetId { .. } | Op::RemoveId { .. } | Op::RaiseEpoch { .. } | Op::Grace) {
            return Ok(());
        }
        for (id, passes) in passes(state, &self.questions) {
            let bounds = [&self.before, &self.after].map(|world| world.get(&id));
            for (number, passes) in passes.into_iter().enumerate() {
                let permitted = bounds.iter().any(|world| world.is_some_and(|world| world[number]));
                let question = &self.questions[number];
                prop_assert!(!passes || permitted, "after {}: endpoint {} opens for {:?}", op, id, question);
            }
        }
        Ok(())
    }
}

/// Of every endpoint that an interface leads to.
fn passes(tables: &Tables, questions: &[(IpAddr, Direction, PortKey)]) -> Passes {
    let words: BTreeMap<IpAddr, Peer> =
        random::addresses().into_iter().map(|address| (address, tables.peer_of(address))).collect();
    let endpoints = tables.interfaces.values().filter(|interface| !interface.is_bridge());
    let endpoints = endpoints.filter_map(|interface| {
        let endpoint = tables.endpoints.get(&interface.slot())?;
        (endpoint.ifindex == interface.ifindex()).then_some((interface.slot(), endpoint))
    });
    endpoints
        .map(|(slot, endpoint)| {
            // Nobody asks about what a pod sends itself.
            let passes = |(address, direction, port): &(IpAddr, Direction, PortKey)| {
                endpoint.owns(&Address::from(*address))
                    || judged(tables, slot, endpoint, words[address], *direction, *port)
            };
            (endpoint.id, questions.iter().map(passes).collect())
        })
        .collect()
}

fn judged(tables: &Tables, slot: u32, endpoint: &Endpoint, word: Peer, direction: Direction, port: PortKey) -> bool {
    // An address alone makes nobody the own node.
    let is_node = word.kind() == PeerKind::OwnNode;
    let peer = if is_node && direction == Direction::Ingress { word.with_kind(PeerKind::External) } else { word };
    if endpoint.is(if peer.kind() == PeerKind::OwnNode { Endpoint::HELD } else { Endpoint::PENDING }) {
        return false;
    }
    let Some(profile) = tables.profile_of(slot) else { return false };
    let judgement = judge(tables, profile, Question::new(direction, peer, port));
    matches!(judgement.verdict, Verdict::Allow(_)) && judgement.refused.is_none()
}
