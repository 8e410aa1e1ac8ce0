//! The programs' clock.

use anyhow::{Context, Result};
use common::abi::Ticks;
use nix::time::{ClockId, clock_gettime};

/// The time now in [`Ticks`], from the clock that the programs use (`CLOCK_MONOTONIC`, coarse).
///
/// # Errors
/// The clock cannot be read.
pub fn now_ticks() -> Result<Ticks> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot read the clock")?;
    let nanoseconds = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    // Ticks are the low 32 bits and wrap, after 18 years.
    Ok((nanoseconds >> 27) as Ticks)
}
