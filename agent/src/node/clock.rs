//! When what is due.

use std::time::{Duration, Instant};

/// Between two looks at how old the world is.
const TICK: Duration = Duration::from_secs(5);
/// After the last change: its leftovers have gone by then.
const QUIET: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Something that is done again and again.
#[derive(Debug)]
pub(super) struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    /// True once a period.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.next <= Instant::now();
        if due {
            self.next = Instant::now() + self.period;
        }
        due
    }
}

/// When the loop has to turn without any news.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) sweep: Every,
    pub(super) verify: Every,
    /// When the next leftover may go.
    pub(super) clean: Option<Instant>,
    /// When memory that changes took is given back.
    trim: Option<Instant>,
    retry: Option<Instant>,
    pause: Duration,
}

impl Clock {
    pub(super) fn new(sweep: Duration, verify: Duration) -> Self {
        Self {
            sweep: Every::new(sweep),
            verify: Every::new(verify),
            clean: None,
            trim: None,
            retry: None,
            pause: FIRST_RETRY,
        }
    }

    pub(super) fn next(&self) -> Instant {
        let tick = Instant::now() + TICK;
        let waited_for = [self.clean, self.trim, self.retry, Some(self.sweep.next), Some(self.verify.next)];
        waited_for.into_iter().flatten().fold(tick, Instant::min)
    }

    pub(super) fn changed(&mut self) {
        self.trim = Some(Instant::now() + QUIET);
    }

    /// True once after the last of several changes.
    pub(super) fn is_trim_due(&mut self) -> bool {
        self.trim.take_if(|due| *due <= Instant::now()).is_some()
    }

    /// Something failed: it is tried again, later each time.
    pub(super) fn failed(&mut self) {
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LAST_RETRY);
    }

    pub(super) fn succeeded(&mut self) {
        (self.retry, self.pause) = (None, FIRST_RETRY);
    }

    /// True where something failed and it is time to try again.
    pub(super) fn is_retry_due(&self) -> bool {
        self.retry.is_some_and(|retry| retry <= Instant::now())
    }
}
