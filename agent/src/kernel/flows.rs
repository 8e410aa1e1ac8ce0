//! The table of flows, seen from outside: the programs check expiry themselves, sweeping only frees memory.

use anyhow::{Context, Result};
use aya::maps::MapError;
use common::abi::{FlowKey, FlowState, Ticks};

use super::Maps;

impl Maps {
    /// Removes the flows that expired before `now` and returns how many there were.
    ///
    /// A flow that comes back to life between our look and our removal is judged anew at its next packet.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn sweep_flows(&mut self, now: Ticks) -> Result<usize> {
        let mut expired = Vec::new();
        for row in self.flow.iter() {
            let (key, [_epoch, state]) = row.context("cannot read the map FLOW")?;
            if is_before(FlowState(state).expires(), now) {
                expired.push(key);
            }
        }
        for key in &expired {
            self.remove_flow(key)?;
        }
        Ok(expired.len())
    }

    /// The largest id of an endpoint that some flow is of; 0 where there is none.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn newest_flow_endpoint(&self) -> Result<u32> {
        let mut newest = 0;
        for key in self.flow.keys() {
            newest = newest.max(key.context("cannot read the map FLOW")?.endpoint);
        }
        Ok(newest)
    }

    /// The program may have evicted it in the meantime.
    fn remove_flow(&mut self, key: &FlowKey) -> Result<()> {
        match self.flow.remove(key) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            removed => removed.context("cannot write the map FLOW"),
        }
    }
}

/// Whether `a` is earlier than `b`, on a clock that wraps.
const fn is_before(a: Ticks, b: Ticks) -> bool {
    a.wrapping_sub(b) as i32 <= -1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_holds_across_the_wrap_of_the_clock() {
        assert!(is_before(1, 2));
        assert!(!is_before(2, 2));
        assert!(!is_before(3, 2));
        assert!(is_before(u32::MAX, 3));
        assert!(!is_before(3, u32::MAX));
    }
}
