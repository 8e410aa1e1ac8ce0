//! Two halves of a compile at the same time: they wait for memory more than they compute.

use std::panic::resume_unwind;
use std::thread;

/// Does `aside` on a thread of its own while this one does `here`; afterwards, where no thread can be had. Neither sees
/// anything of the other, so that the outcome is the same.
pub(super) fn both<T>(mut aside: impl FnMut() + Send, here: impl FnOnce() -> T) -> T {
    let (is_done, here) = thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &mut aside);
        let here = here();
        let is_done = thread.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).is_ok();
        (is_done, here)
    });
    if !is_done {
        aside();
    }
    here
}
