//! Grace periods without the wait.
//!
//! To put a program on a TCX hook takes the kernel a grace period of RCU, under the lock of all interfaces
//! (`tcx_link_prog_attach`, Linux 6.18): 8 to 16 ms on a quiet machine, 50 ms where a hundred pods start at once, and each
//! veth waits for those before it, unprotected. The kernel expedites such periods where it changes interfaces itself
//! (`synchronize_net`), for an interrupt on each busy CPU. This asks it for the same.

use std::fs;

/// Of the whole machine (`kernel/ksysfs.c`): 0 or 1.
const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// Grace periods are expedited as long as this lives. Where the switch cannot be written they take their time.
#[derive(Debug)]
pub(super) struct Expedited {
    /// What somebody else has switched on stays on.
    ours: bool,
}

impl Expedited {
    pub(super) fn begin() -> Self {
        let is_off = fs::read_to_string(SWITCH).is_ok_and(|switch| switch.trim() == "0");
        Self { ours: is_off && fs::write(SWITCH, "1").is_ok() }
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        if self.ours {
            // As it was a moment ago. Left on it costs interrupts, and no packet's verdict.
            let _written = fs::write(SWITCH, "0");
        }
    }
}
