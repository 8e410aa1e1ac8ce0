//! The table of flows, seen from outside: the programs check expiry themselves, sweeping only frees memory.

use anyhow::{Context, Result};
use aya::maps::{MapError, PerCpuValues};
use common::abi::{Counter, FlowKey, FlowState, Ticks};

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
        let mut removed = 0;
        for key in &expired {
            removed += u64::from(self.remove_flow(key)?);
        }
        self.note_removed_flows(removed)?;
        Ok(expired.len())
    }

    /// How many flows the table would hold if it had never been full: those that are not there have been evicted to make
    /// room for others. Exact where no flow is entered between this and the count of those that are there.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn entered_flows(&self) -> Result<u64> {
        Ok(self.counter(Counter::FlowsEntered)?.wrapping_sub(self.counter(Counter::FlowsRemoved)?))
    }

    /// Adds to [`Counter::FlowsRemoved`], modulo 2^64.
    pub(super) fn note_removed_flows(&mut self, flows: u64) -> Result<()> {
        let removed = self.counter(Counter::FlowsRemoved)?.wrapping_add(flows);
        let cpus = aya::util::nr_cpus().map_err(|(file, error)| anyhow::anyhow!("cannot read {file}: {error}"))?;
        let mut values = vec![0; cpus];
        values[0] = removed;
        let values = PerCpuValues::try_from(values).context("cannot count the CPUs")?;
        self.counter.set(Counter::FlowsRemoved as u32, values, 0).context("cannot write the map COUNTER")
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

    /// False where the program has evicted it in the meantime.
    fn remove_flow(&mut self, key: &FlowKey) -> Result<bool> {
        match self.flow.remove(key) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            removed => removed.map(|()| true).context("cannot write the map FLOW"),
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
