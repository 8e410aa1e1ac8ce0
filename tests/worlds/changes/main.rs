//! Random clusters that change: what the plans lead to is what a compile from nothing gives, and between every two of
//! their operations no packet passes that is forbidden before and after.
//!
//! `BULKHEAD_SEQUENCES` is how many.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

mod bounds;
mod node;

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tests::witness::naive::Seen;
use tests::witness::random::{self, Change, Extent, PODS};
use tests::witness::{Cluster, check};

use node::Node;

/// What changes at once, and what happens around it.
#[derive(Clone, Debug)]
struct Step {
    changes: Vec<Change>,
    /// A pod that is there again under its name, with another veth.
    recreated: Option<usize>,
    /// The agent starts anew: it knows no more than what the maps hold.
    restart: bool,
    /// What only the world before needs goes before the next change.
    settle: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let chance = prop::bool::weighted;
    let changes = prop_oneof![4 => vec(random::change(), 1), 1 => vec(random::change(), 2..4)];
    (changes, prop::option::weighted(0.1, 0..PODS.len()), chance(0.1), chance(0.7))
        .prop_map(|(changes, recreated, restart, settle)| Step { changes, recreated, restart, settle })
}

#[test]
fn any_changes_in_any_order_lead_to_what_a_compile_from_nothing_gives() {
    let (operations, changes) = (Cell::new(0), Cell::new(0));
    let sequences = (random::cluster(Extent::Whole), vec(step(), 1..8));
    let sequences = check("BULKHEAD_SEQUENCES", 40, &sequences, |(mut cluster, steps)| {
        let mut node = Node::default();
        node.move_to(&cluster)?;
        for step in steps {
            step.changes.iter().for_each(|change| change.apply_to(&mut cluster));
            changes.set(changes.get() + step.changes.len());
            if let Some(place) = step.recreated {
                node.recreate(place);
            }
            if step.restart {
                node.restart();
            }
            node.move_to(&cluster)?;
            if step.settle {
                node.settle(&cluster)?;
            }
        }
        node.settle(&cluster)?;
        operations.set(operations.get() + node.operations);
        is_as_from_nothing(&node, &cluster)
    });
    println!(
        "{sequences} sequences of {} changes, checked after each of {} operations",
        changes.get(),
        operations.get()
    );
}

fn is_as_from_nothing(node: &Node, cluster: &Cluster) -> TestCaseResult {
    let (reached, anew) = node.canonical(cluster);
    prop_assert_eq!(reached, anew);
    let agreed = node.enforced(cluster).compare(&Seen::of(cluster), node.host());
    agreed.map(drop).map_err(TestCaseError::fail)
}
