//! Ctrl-C while something is up that has to be taken down again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// From its creation on SIGINT and SIGTERM end nothing; they are noticed by [`Interrupt::check`].
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// # Errors
    /// The signals cannot be caught.
    pub fn catch() -> Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        let runtime = crate::runtime::one_thread()?;
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            let catch = |kind| signal(kind).context("cannot catch signals");
            (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?)
        };
        let flag = Arc::clone(&seen);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            });
            flag.store(true, Ordering::Relaxed);
        });
        Ok(Self(seen))
    }

    /// # Errors
    /// A signal has come.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.0.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}
