//! The same random packets, through the same random tables, in the kernel (`BPF_PROG_TEST_RUN`) and on the host:
//! everything that was read of each packet and decided about it must be equal.
//!
//! `BULKHEAD_RANDOM_PACKETS` is how many (200,000 if it is not set), `BULKHEAD_RANDOM_SEED` where they start.
//! Not reached here: VLAN tags that the kernel holds beside the frame, and frames that the kernel does not run
//! (IPv4 under 34 bytes).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod packets;
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

use agent::kernel::AfterDnat;
use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::compile::Desired;
use tests::random::{self, Random};
use tests::twin::Twin;

/// Packets through one set of tables.
const A_WORLD: u64 = 20_000;
/// Reasons that no packet of this version can get.
const UNREACHABLE: [&str; 1] = ["unmanaged"];

#[test]
fn kernel_and_host_agree_on_random_packets() {
    let wanted = number("BULKHEAD_RANDOM_PACKETS", 200_000);
    let seed = number("BULKHEAD_RANDOM_SEED", 1);
    let mut random = Random(seed);
    let mut reasons = BTreeMap::<&str, u64>::new();
    let started = Instant::now();
    let mut done = 0;
    while done < wanted {
        let count = A_WORLD.min(wanted - done);
        let stage = if (done / A_WORLD).is_multiple_of(2) { AfterDnat::Auto } else { AfterDnat::Off };
        Twin::with_stage("random", stage, |twin| run_a_world(twin, &mut random, count, &mut reasons));
        done += count;
    }
    println!(
        "{done} packets from seed {seed} in {:.0?}, no difference; reasons reached: {reasons:?}",
        started.elapsed()
    );
    let missing: Vec<_> = all_reasons().filter(|reason| !reasons.contains_key(reason)).collect();
    assert!(missing.is_empty(), "reasons that no packet reached: {missing:?}");
}

fn run_a_world(twin: &mut Twin, random: &mut Random, count: u64, reasons: &mut BTreeMap<&str, u64>) {
    let world = world::random(random, twin.veths);
    twin.load(Desired { tables: world.tables.clone(), ..Desired::default() });
    for _ in 0..count {
        let (direction, frame) = packets::random(random, &world);
        let seen = twin.run(direction, &frame);
        *reasons.entry(name(seen.outcome.verdict)).or_default() += 1;
        match random.below(4000) {
            0 => twin.forget(),
            1..80 => twin.publish(random.below(2), u64::from(random.below(world::PROFILES + 1))),
            _ => {}
        }
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow(reason) => reason.name(),
        Verdict::Drop(reason) => reason.name(),
    }
}

fn all_reasons() -> impl Iterator<Item = &'static str> {
    let allow = AllowReason::ALL.iter().map(|reason| reason.name());
    let drop = DropReason::ALL.iter().map(|reason| reason.name());
    allow.chain(drop).filter(|reason| !UNREACHABLE.contains(reason))
}

/// Both directions as the random packets take them.
const DIRECTIONS: [Direction; 2] = Direction::ALL;
