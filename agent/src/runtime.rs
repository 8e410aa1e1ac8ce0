//! The async runtime of commands that wait for one thing at a time.

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};

/// On the thread of the caller, and no other.
///
/// # Errors
/// The kernel gives it no file to wait with.
pub fn one_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")
}
