//! Counters: per CPU, exact, read at scrape.

use super::{Direction, TenantId};

/// Key of the `DROPS` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct DropKey {
    /// The tenant of the packet's source.
    pub source: TenantId,
    pub destination: TenantId,
    /// A [`Direction`].
    pub direction: u8,
    /// A [`super::DropReason`].
    pub reason: u8,
    /// 1: tenancy in audit mode would have dropped it; it passed.
    pub audited: u8,
    pub _zero: u8,
}

super::layout!(DropKey, 12;
    source @ 0 => TenantId, destination @ 4 => TenantId, direction @ 8 => u8, reason @ 9 => u8, audited @ 10 => u8,
    _zero @ 11 => u8);

impl DropKey {
    /// Both tenants of the row that takes what the map has no room for (it exists from the start).
    pub const OVERFLOW: TenantId = TenantId(TenantId::MAX);

    #[must_use]
    pub const fn overflow(direction: Direction, reason: u8, audited: u8) -> Self {
        Self {
            source: Self::OVERFLOW,
            destination: Self::OVERFLOW,
            direction: direction as u8,
            reason,
            audited,
            _zero: 0,
        }
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
