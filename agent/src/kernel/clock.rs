//! The programs' clock: `CLOCK_MONOTONIC`, coarse.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use common::abi::Ticks;
use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// The time now in [`Ticks`].
///
/// # Errors
/// The clock cannot be read.
pub fn now_ticks() -> Result<Ticks> {
    // Ticks are the low 32 bits and wrap, after 18 years.
    Ok((monotonic()?.as_nanos() >> 27) as Ticks)
}

/// The time in a while.
///
/// # Errors
/// The clock cannot be read.
pub fn ticks_from_now(after: Duration) -> Result<Ticks> {
    Ok(now_ticks()?.wrapping_add((after.as_nanos() >> 27) as Ticks))
}

/// When the clock was zero.
pub(crate) fn boot_time() -> Result<Timestamp> {
    let now = Timestamp::try_from(SystemTime::now()).context("the system time is out of range")?;
    now.checked_sub(monotonic()?).context("the system time is out of range")
}

fn monotonic() -> Result<SignedDuration> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot read the clock")?;
    let nanoseconds = i32::try_from(now.tv_nsec()).context("cannot read the clock")?;
    Ok(SignedDuration::new(now.tv_sec(), nanoseconds))
}
