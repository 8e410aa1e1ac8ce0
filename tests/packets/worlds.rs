//! Random clusters in the kernel (`BPF_PROG_TEST_RUN`): what the programs do with a packet of every flow is what the naive
//! evaluator says, and what `decide` does on the host.
//!
//! `BULKHEAD_KERNEL_WORLDS` is how many.
#![allow(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::cell::{Cell, RefCell};
use std::time::Instant;

use proptest::prelude::*;
use tests::twin::Twin;
use tests::witness::naive::Seen;
use tests::witness::random::{self, Extent, PODS};
use tests::witness::{Enforced, check};

#[test]
fn the_kernel_does_what_the_api_says() {
    let started = Instant::now();
    Twin::with_veths("worlds", PODS.len(), |twin, veths| {
        let (twin, packets) = (RefCell::new(twin), Cell::new(0));
        let worlds = check("BULKHEAD_KERNEL_WORLDS", 12, &random::cluster(Extent::Whole), |cluster| {
            let mut twin = twin.borrow_mut();
            let enforced = Enforced::new(&cluster, &veths, &twin.ids());
            twin.load_at_once(enforced.compiled.desired.clone());
            twin.forget();
            let agreed = enforced.compare(&Seen::of(&cluster), |direction, frame| twin.run(direction, frame));
            packets.set(packets.get() + agreed.map_err(TestCaseError::fail)?);
            Ok(())
        });
        println!("{worlds} worlds: naive = host = kernel on {} packets in {:.0?}", packets.get(), started.elapsed());
    });
}
