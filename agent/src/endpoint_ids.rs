//! The numbers that endpoints get in the maps: ids that are never used again, slots that are not for long.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Which ids have been used. It must outlive the pinned maps: their table of flows is keyed by these ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointIds {
    used: u32,
}

impl EndpointIds {
    /// Counts an id as used that is found somewhere.
    pub fn note(&mut self, id: u32) {
        self.used = self.used.max(id);
    }

    /// An endpoint id that was never used, and a slot below `slots` that is not `taken` and was not freed lately.
    ///
    /// # Errors
    /// Every slot is taken, or every id has been used.
    pub fn take(&mut self, taken: &BTreeSet<u32>, slots: u32) -> Result<(u32, u32)> {
        ensure!(taken.len() < slots as usize, "there is room for {slots} pods");
        self.used = self.used.checked_add(1).context("all endpoint ids have been used")?;
        let first = self.used % slots;
        let slot = (first..slots).chain(0..first).find(|slot| !taken.contains(slot));
        Ok((self.used, slot.context("no slot is free")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_used_again_and_slots_only_after_all_others() {
        let mut ids = EndpointIds::default();
        assert_eq!(ids.take(&BTreeSet::new(), 4).unwrap(), (1, 1));
        assert_eq!(ids.take(&BTreeSet::new(), 4).unwrap(), (2, 2), "slot 1 is free and was used just now");
        assert_eq!(ids.take(&BTreeSet::from([3, 0]), 4).unwrap(), (3, 1));
        ids.note(9);
        ids.note(5);
        assert_eq!(ids.take(&BTreeSet::new(), 4).unwrap(), (10, 2));
        ids.take(&BTreeSet::from([0, 1, 2, 3]), 4).expect_err("all slots are taken");
    }
}
