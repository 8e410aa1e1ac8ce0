//! Drop counters of a lab, as differences.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::kernel::{MapCapacities, Maps};
use agent::lab::LabName;
use common::abi::{Direction, DropReason};

/// Drop counters of a lab, read again and again.
#[derive(Debug)]
pub struct Counters {
    maps: Maps,
    before: Counted,
}

/// Packets by direction and reason.
pub type Counted = BTreeMap<(Direction, DropReason), u64>;

impl Counters {
    /// # Panics
    /// Where the lab's maps cannot be opened.
    #[must_use]
    pub fn open(lab: &LabName) -> Self {
        let maps = Maps::open(&lab.pins().expect("pins"), &MapCapacities::default()).expect("the lab's maps");
        let mut this = Self { maps, before: Counted::new() };
        this.restart();
        this
    }

    /// Counts from here.
    ///
    /// # Panics
    /// Where the map cannot be read.
    pub fn restart(&mut self) {
        self.before = self.all();
    }

    /// What was dropped since.
    ///
    /// # Panics
    /// Where the map cannot be read.
    #[must_use]
    pub fn since(&self) -> Counted {
        let mut now = self.all();
        for (key, before) in &self.before {
            if let Some(count) = now.get_mut(key) {
                *count -= before;
            }
        }
        now.retain(|_, count| *count != 0);
        now
    }

    /// Waits until so many packets were dropped, and then for one more that should not be.
    #[must_use]
    pub fn wait_for(&self, packets: u64) -> Counted {
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline && self.since().values().sum::<u64>() < packets {
            sleep(Duration::from_millis(5));
        }
        sleep(Duration::from_millis(30));
        self.since()
    }

    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    fn all(&self) -> Counted {
        let mut counted = Counted::new();
        for (key, traffic) in self.maps.drops().expect("drops") {
            assert!(!key.is_audited(), "nothing audits here");
            let reason = key.reason().expect("a reason");
            *counted.entry((key.direction(), reason)).or_default() += traffic.packets;
        }
        counted
    }
}
