//! One packet through a program without a wire (`BPF_PROG_TEST_RUN`), for tests and benchmarks.

use std::time::Duration;

use anyhow::{Context, Result};
use aya::{TestRun as _, TestRunOptions};
use common::abi::Direction;

use super::{Datapath, name};

/// `struct __sk_buff`: its size, and where the fields are that the kernel lets us set.
const CONTEXT: usize = 192;
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;

/// A frame with its Ethernet header, and where it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub bytes: &'a [u8],
    /// The interface that the program runs at; it must exist in the caller's network namespace.
    pub ifindex: u32,
    /// The interface that the packet came in by; 0 for what the node itself sends.
    pub ingress_ifindex: u32,
}

/// What a program did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// A `TC_ACT_…` number: -1 lets pass, 2 drops.
    pub action: i32,
    /// Of one run, on average.
    pub duration: Duration,
}

impl Datapath {
    /// Runs the program of one direction on a frame, `repeat` times.
    ///
    /// # Errors
    /// The kernel refuses the frame (Linux takes none without a whole Ethernet header) or knows no such interface.
    pub fn test_run(&mut self, direction: Direction, frame: &Frame<'_>, repeat: u32) -> Result<TestRun> {
        let mut context = [0; CONTEXT];
        context[INGRESS_IFINDEX..INGRESS_IFINDEX + 4].copy_from_slice(&frame.ingress_ifindex.to_ne_bytes());
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&frame.ifindex.to_ne_bytes());
        let options =
            TestRunOptions { data_in: Some(frame.bytes), ctx_in: Some(&context), repeat, ..TestRunOptions::new() };
        let ran = self.programs.get(direction)?.test_run(options);
        let ran = ran.with_context(|| {
            format!("the kernel does not run {} on {} bytes at {}", name(direction), frame.bytes.len(), frame.ifindex)
        })?;
        Ok(TestRun { action: ran.return_value.cast_signed(), duration: ran.duration })
    }
}
