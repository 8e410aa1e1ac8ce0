//! MAC addresses.

/// A MAC address as one number, its first byte the lowest: what is compared for every packet takes one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Mac(u64);

impl Mac {
    pub const NONE: Self = Self(0);

    #[must_use]
    #[inline(always)]
    pub const fn new([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// The two at the start of a frame, of which these words are as they lie in memory: destination and source.
    #[must_use]
    #[inline(always)]
    pub const fn of_frame([a, b, c]: [u32; 3]) -> (Self, Self) {
        let (a, b, c) = (u32::from_le(a) as u64, u32::from_le(b) as u64, u32::from_le(c) as u64);
        (Self(a | (b & 0xffff) << 32), Self(b >> 16 | c << 16))
    }

    #[must_use]
    #[inline(always)]
    pub const fn octets(self) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = self.0.to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// The address of a group of receivers, or of all.
    #[must_use]
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0 & 1 != 0
    }
}
