//! Time as the programs know it.

/// Time since boot in units of 2^27 ns (134 ms): 32 bits last for 18 years.
pub type Ticks = u32;
/// The tick that a time in nanoseconds since boot is in.
#[must_use]
#[inline(always)]
pub const fn ticks(time: u64) -> Ticks {
    (time >> 27) as Ticks
}

/// About one second in [`Ticks`] (8 × 134 ms).
pub const SECOND: Ticks = 8;

/// How the kernel counts time: what makes nanoseconds of its `jiffies`, which a program reads where they lie. Any
/// other clock is a function call away, and costs as much as a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Clock {
    /// The `jiffies` at boot: not 0, so that whoever forgets that they wrap finds out within five minutes.
    pub at_boot: u64,
    /// Nanoseconds in one.
    pub tick: u64,
}

super::layout!(Clock, 16; at_boot @ 0 => u64, tick @ 8 => u64);

impl Clock {
    /// The clock of a kernel whose timer ticks every so many nanoseconds (`INITIAL_JIFFIES` in `linux/jiffies.h`:
    /// they start five minutes before 32 bits are full).
    #[must_use]
    pub const fn new(tick: u64) -> Self {
        let a_second = (1_000_000_000 + tick / 2) / tick;
        Self { at_boot: (1 << 32) - 300 * a_second, tick }
    }

    /// Nanoseconds since boot, a tick exact; what the timer missed while the kernel came up is not in it.
    #[must_use]
    #[inline(always)]
    pub const fn nanoseconds(self, jiffies: u64) -> u64 {
        jiffies.wrapping_sub(self.at_boot).wrapping_mul(self.tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_five_minutes_before_jiffies_wrap() {
        for (tick, hertz) in [(10_000_000, 100), (4_000_000, 250), (3_333_333, 300), (1_000_000, 1000)] {
            let clock = Clock::new(tick);
            assert_eq!(clock.at_boot, (1 << 32) - 300 * hertz);
            assert_eq!(clock.nanoseconds(clock.at_boot), 0);
            assert_eq!(clock.nanoseconds(1 << 32), 300 * hertz * tick);
        }
    }
}
