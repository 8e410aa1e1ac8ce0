//! Threads that go on until whoever started them is done.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether they shall end.
#[derive(Debug, Default)]
pub struct Until(AtomicBool);

impl Until {
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    /// Ends them when the value is dropped, so that they end however their test does.
    #[must_use]
    pub const fn dropped(&self) -> End<'_> {
        End(self)
    }
}

/// See [`Until::dropped`].
#[derive(Debug)]
pub struct End<'a>(&'a Until);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
