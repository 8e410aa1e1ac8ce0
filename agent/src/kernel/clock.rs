//! The programs' clock: `CLOCK_MONOTONIC`, coarse, give or take what the timer missed while the kernel came up.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use common::abi::{Clock, Ticks};
use jiff::{SignedDuration, Timestamp};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_getres, clock_gettime};

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

/// How this kernel counts time.
pub(super) fn of_this_kernel() -> Result<Clock> {
    // What a coarse clock resolves is one tick of the timer.
    let tick = duration(clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot ask how exact the clock is")?)?;
    match u64::try_from(tick.as_nanos()) {
        Ok(nanoseconds @ 1..) => Ok(Clock::new(nanoseconds)),
        _ => bail!("the kernel says that its timer ticks every {} ns", tick.as_nanos()),
    }
}

fn monotonic() -> Result<SignedDuration> {
    duration(clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot read the clock")?)
}

fn duration(time: TimeSpec) -> Result<SignedDuration> {
    let nanoseconds = i32::try_from(time.tv_nsec()).context("cannot read the clock")?;
    Ok(SignedDuration::new(time.tv_sec(), nanoseconds))
}
