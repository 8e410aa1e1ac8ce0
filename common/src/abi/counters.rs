//! Counters: per CPU, exact, read at scrape.

use super::{Direction, DropReason, TenantId};

/// Key of the `DROPS` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct DropKey {
    /// The tenant of the packet's source.
    pub source: TenantId,
    pub destination: TenantId,
    /// bits 0–7 a [`super::DropReason`], 8 [`Direction`], 16 set where it passed because tenancy in audit mode only
    /// would have dropped it. One word, because the kernel hashes words: bytes that were just written one by one are
    /// read as one only after all of them have left the store buffer.
    what: u32,
}

super::layout!(DropKey, 12; source @ 0 => TenantId, destination @ 4 => TenantId, what @ 8 => u32);

impl DropKey {
    /// Both tenants of the row that takes what the map has no room for (it exists from the start).
    pub const OVERFLOW: TenantId = TenantId(TenantId::MAX);

    #[must_use]
    #[inline(always)]
    pub const fn new(
        source: TenantId,
        destination: TenantId,
        direction: Direction,
        reason: DropReason,
        audited: bool,
    ) -> Self {
        Self { source, destination, what: reason as u32 | (direction as u32) << 8 | (audited as u32) << 16 }
    }

    #[must_use]
    #[inline(always)]
    pub const fn overflow(direction: Direction, reason: DropReason, audited: bool) -> Self {
        Self::new(Self::OVERFLOW, Self::OVERFLOW, direction, reason, audited)
    }

    #[must_use]
    pub const fn direction(self) -> Direction {
        if self.what >> 8 & 1 == 0 { Direction::Egress } else { Direction::Ingress }
    }

    /// `None` for a number that is no reason's: the map of another version.
    #[must_use]
    pub const fn reason(self) -> Option<DropReason> {
        DropReason::from_number(self.what as u8)
    }

    #[must_use]
    pub const fn is_audited(self) -> bool {
        self.what >> 16 & 1 != 0
    }
}

/// Packets and their bytes, Ethernet header included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

super::layout!(Traffic, 16; packets @ 0 => u64, bytes @ 8 => u64);

/// Index into the `COUNTER` map: what has no tenants and no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Events that the rate limit or a full ring kept from being sent.
    EventsLost = 0,
    /// Flows that a change of policy cut.
    FlowsCut = 1,
    /// Flows that could not be entered into the table: each of their packets is judged.
    FlowsUntracked = 2,
}

impl Counter {
    pub const COUNT: u32 = 3;
}
