//! The table of flows, seen from outside: the programs check expiry themselves. Sweeping frees memory, and counts anew what
//! each endpoint has there.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aya::maps::{IterableMap as _, MapError};
use common::abi::{FlowKey, FlowLimits, FlowShare, FlowState, FlowTotals, Ticks};

use super::{Maps, raw};

/// Flows that are read with one system call: what a bucket holds fits many times.
const BATCH: usize = 4096;

impl Maps {
    /// Removes the flows that expired before `now`, and those of endpoints that are gone, and returns how many there were.
    ///
    /// A flow that comes back to life between our look and our removal is judged anew at its next packet.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn sweep_flows(&mut self, now: Ticks) -> Result<usize> {
        let slots = self.slots()?;
        let before = self.established(&slots)?;
        let (mut gone, mut established) = (Vec::new(), HashMap::<u32, i64>::new());
        self.each_flow(|key, state| match slots.get(&key.endpoint) {
            Some(&slot) if !is_before(state.expires(), now) => {
                *established.entry(slot).or_default() += i64::from(state.is(FlowState::COUNTED));
            }
            _ => gone.push(key),
        })?;
        gone.iter().try_for_each(|key| self.remove_flow(key))?;
        self.recount(&before, &established)?;
        Ok(gone.len())
    }

    /// How many flows the table holds.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn flows(&self) -> Result<usize> {
        let mut flows = 0;
        self.each_flow(|_, _| flows += 1)?;
        Ok(flows)
    }

    /// The largest id of an endpoint that some flow is of; 0 where there is none.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn newest_flow_endpoint(&self) -> Result<u32> {
        let mut newest = 0;
        self.each_flow(|key, _| newest = newest.max(key.endpoint))?;
        Ok(newest)
    }

    /// Reads every flow. One that comes or goes meanwhile may be left out.
    fn each_flow(&self, mut look: impl FnMut(FlowKey, FlowState)) -> Result<()> {
        let (mut keys, mut values) = (vec![FlowKey::EMPTY; BATCH], vec![[0; 2]; BATCH]);
        let mut from = None;
        loop {
            let read = raw::look_up_batch(self.flow.map(), from, &mut keys, &mut values);
            let (count, next) = read.context("cannot read the map FLOW")?;
            keys.iter().zip(&values).take(count).for_each(|(key, [_epoch, state])| look(*key, FlowState(*state)));
            from = next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// The slots of endpoints, by id.
    fn slots(&self) -> Result<HashMap<u32, u32>> {
        let mut slots = HashMap::new();
        for slot in 0..self.endpoint.len() {
            let endpoint = self.endpoint.get(&slot, 0).context("cannot read the map ENDPOINT")?;
            if endpoint.id != 0 {
                slots.insert(endpoint.id, slot);
            }
        }
        Ok(slots)
    }

    fn established(&self, slots: &HashMap<u32, u32>) -> Result<HashMap<u32, i64>> {
        slots.values().map(|&slot| Ok((slot, self.flow_share(slot)?.established))).collect()
    }

    /// What an endpoint has in the table of flows.
    pub(super) fn flow_share(&self, slot: u32) -> Result<FlowShare> {
        self.flow_share.get(&slot, 0).context("cannot read the map FLOW_SHARE")
    }

    /// Writes how many established flows were found. What the programs have counted since `before` is added: that much may
    /// be counted twice, until the next sweep.
    fn recount(&mut self, before: &HashMap<u32, i64>, found: &HashMap<u32, i64>) -> Result<()> {
        let guaranteed = i64::from(self.flow_limits()?.guaranteed);
        let mut pooled = 0;
        for (&slot, before) in before {
            let share = self.flow_share(slot)?;
            let established = found.get(&slot).unwrap_or(&0) + (share.established - before).max(0);
            pooled += (established - guaranteed).max(0);
            if established != share.established {
                let share = FlowShare { established, ..share };
                self.flow_share.set(slot, share, 0).context("cannot write the map FLOW_SHARE")?;
            }
        }
        let totals = self.flow_totals.get(&0, 0).context("cannot read the map FLOW_TOTALS")?;
        let totals = FlowTotals { pooled, ..totals };
        self.flow_totals.set(0, totals, 0).context("cannot write the map FLOW_TOTALS")
    }

    fn flow_limits(&self) -> Result<FlowLimits> {
        let flows = self.flow.map().info().context("cannot ask the kernel for the size of the map FLOW")?.max_entries();
        Ok(FlowLimits::new(flows, self.endpoint.len()))
    }

    fn remove_flow(&mut self, key: &FlowKey) -> Result<()> {
        match self.flow.remove(key) {
            // The program has evicted it in the meantime.
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
