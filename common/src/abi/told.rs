//! Which drops an endpoint's events tell of: a flood of one kind leaves room for all others.

/// What one endpoint's events told in a second, on one CPU. The first drop of each reason and direction in a second is
/// told, and the first of each group of far addresses, whoever else drops how much. What is more takes of the endpoint's
/// share, and then of everybody's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Told {
    second: u64,
    /// A bit for each reason in each direction, of which there are no more than 64.
    kinds: u64,
    /// A bit for each group of addresses.
    peers: u32,
    /// What is left of the share.
    left: u32,
    /// Drops that no event told of, in all seconds.
    pub lost: u64,
}

super::layout!(Told, 32;
    second @ 0 => u64, kinds @ 8 => u64, peers @ 16 => u32, left @ 20 => u32, lost @ 24 => u64);

/// How a drop may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Whatever else is told.
    Always,
    /// If everybody's budget has room.
    Shared,
    /// No more in this second.
    Never,
}

impl Told {
    /// The part of everybody's budget that one endpoint may take.
    pub const SHARE: u32 = 4;

    /// A drop of a kind (reason and direction) from or to a far address, which stands for it as a word. `budget`: events
    /// of everybody in a second.
    #[inline(always)]
    pub const fn tell(&mut self, second: u64, kind: u32, peer: u32, budget: u32) -> Telling {
        if self.second != second {
            *self = Self { second, kinds: 0, peers: 0, left: budget / Self::SHARE, lost: self.lost };
        }
        let kind = 1_u64 << (kind & 63);
        // The upper bits of a multiplication depend on all of it.
        let peer = 1_u32 << (peer.wrapping_mul(0x9e37_79b9) >> 27);
        let known = self.kinds & kind != 0 && self.peers & peer != 0;
        self.kinds |= kind;
        self.peers |= peer;
        if !known {
            return Telling::Always;
        }
        if self.left == 0 {
            return Telling::Never;
        }
        self.left -= 1;
        Telling::Shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_the_first_of_every_kind_and_most_peers() {
        let mut told = Told::default();
        let mut flood: [u32; 3] = [0; 3];
        for _ in 0..10_000 {
            flood[told.tell(9, 5, 1, 1000) as usize] += 1;
        }
        assert_eq!(flood, [1, 250, 10_000 - 251]);
        assert_eq!(told.tell(9, 6, 1, 1000), Telling::Always, "another reason");
        let peers = (2..34).filter(|&peer| told.tell(9, 5, peer, 1000) == Telling::Always).count();
        assert!(peers > 15, "{peers} of 32");
        // However many send, it comes to an end.
        let more = (0..100_000).filter(|&peer| told.tell(9, peer % 64, peer, 1000) == Telling::Always).count();
        assert!(more < 100, "{more}");
        assert_eq!(told.tell(10, 5, 1, 1000), Telling::Always, "the next second");
    }
}
