//! Counters: per CPU, exact, read at scrape.

use super::{Direction, DropReason, TenantId};

/// What drops are counted by, as one word: bits 46–63 the tenant of the packet's source, 28–45 of its destination,
/// 9 set where it passed because tenancy in audit mode only would have dropped it, 8 [`Direction`], 0–7 a [`DropReason`].
///
/// Never 0, which no reason is. One word, because a row of [`DropRow`]s is taken by a single store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct DropKey(u64);

#[cfg(feature = "user")]
// SAFETY: a transparent u64.
unsafe impl aya::Pod for DropKey {}

impl DropKey {
    /// Both tenants of the row that takes what the map has no room for (it exists from the start).
    pub const OVERFLOW: TenantId = TenantId(TenantId::MAX);
    const AUDITED: u64 = 1 << 9;

    #[must_use]
    #[inline(always)]
    pub const fn new(
        source: TenantId,
        destination: TenantId,
        direction: Direction,
        reason: DropReason,
        audited: bool,
    ) -> Self {
        let tenants = (source.0 as u64) << 46 | ((destination.0 & TenantId::MAX) as u64) << 28;
        Self(tenants | (audited as u64) << 9 | (direction as u64) << 8 | reason as u64)
    }

    #[must_use]
    #[inline(always)]
    pub const fn overflow(direction: Direction, reason: DropReason, audited: bool) -> Self {
        Self::new(Self::OVERFLOW, Self::OVERFLOW, direction, reason, audited)
    }

    #[must_use]
    pub const fn source(self) -> TenantId {
        TenantId((self.0 >> 46) as u32)
    }

    #[must_use]
    pub const fn destination(self) -> TenantId {
        TenantId((self.0 >> 28) as u32 & TenantId::MAX)
    }

    #[must_use]
    pub const fn direction(self) -> Direction {
        if self.0 >> 8 & 1 == 0 { Direction::Egress } else { Direction::Ingress }
    }

    /// `None` for a number that is no reason's: the map of another version.
    #[must_use]
    pub const fn reason(self) -> Option<DropReason> {
        DropReason::from_number(self.0 as u8)
    }

    #[must_use]
    pub const fn is_audited(self) -> bool {
        self.0 & Self::AUDITED != 0
    }

    /// The key's own place among the [`DropRow`]s: the upper bits of a multiplication, which depend on all of it.
    #[must_use]
    #[inline(always)]
    pub const fn place(self) -> u32 {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - DropRow::COUNT.ilog2())) as u32
    }
}

/// What a CPU counted under one key: each key has one place of its own that it may take, and the map `DROPS` where
/// another has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DropRow {
    /// A [`DropKey`]; 0 while nobody has taken the row. Once it is taken it stays so until a tenant in
    /// it is gone.
    key: u64,
    pub traffic: Traffic,
}

super::layout!(DropRow, 24; key @ 0 => u64, traffic @ 8 => Traffic);

impl DropRow {
    /// Rows of a CPU, a power of two: a node sees far fewer pairs of tenants that are kept apart.
    pub const COUNT: u32 = 512;

    #[must_use]
    pub const fn key(&self) -> Option<DropKey> {
        if self.key == 0 { None } else { Some(DropKey(self.key)) }
    }

    /// Takes the row for a key. False where another key has it.
    #[must_use]
    #[inline(always)]
    pub const fn take(&mut self, key: DropKey) -> bool {
        if self.key == 0 {
            self.key = key.0;
        }
        self.key == key.0
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

impl core::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Index into the `COUNTER` map: what has no tenants and no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Drops that no event told of, but for those that are in their endpoint's [`Told::lost`](super::Told::lost).
    EventsLost = 0,
    /// Flows that a change of policy cut.
    FlowsCut = 1,
    /// Flows that could not be entered into the table: each of their packets is judged.
    FlowsUntracked = 2,
    /// Flows that the programs took out of the table before they expired, to make room for others of their endpoint.
    FlowsEvicted = 3,
}

impl Counter {
    pub const COUNT: u32 = 4;
}
