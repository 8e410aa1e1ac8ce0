//! Compiled policy: a row a matching peer points to a program, a program is a run of port intervals.

/// Key of the `RULE` map: a policy set, and an identity or a CIDR class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct RuleKey {
    pub set: u32,
    /// An identity, or a CIDR class with [`RuleKey::CLASS`] set.
    pub peer: u32,
}

super::layout!(RuleKey, 8; set @ 0 => u32, peer @ 4 => u32);

impl RuleKey {
    const CLASS: u32 = 1 << 31;

    #[must_use]
    #[inline(always)]
    pub const fn identity(set: u32, identity: u32) -> Self {
        Self { set, peer: identity }
    }

    #[must_use]
    #[inline(always)]
    pub const fn class(set: u32, class: u32) -> Self {
        Self { set, peer: class | Self::CLASS }
    }

    /// The identity, or the class.
    pub const fn split(&self) -> Result<u32, u32> {
        if self.peer & Self::CLASS == 0 { Ok(self.peer) } else { Err(self.peer & !Self::CLASS) }
    }
}

/// A run of [`PortRow`]s in the `PORT` map, as one word: bits 0–31 first row, 32–55 number of rows, 56–63 how often
/// that many can be halved (the binary logarithm, rounded down).
///
/// No rows at all means that nothing restricts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct ProgramRef(pub u64);

#[cfg(feature = "user")]
// SAFETY: a transparent u64.
unsafe impl aya::Pod for ProgramRef {}

impl ProgramRef {
    /// What the programs can search: 2^12 rows.
    pub const MAX_ROWS: u32 = 4096;

    #[must_use]
    pub const fn new(first: u32, rows: u32) -> Self {
        let halvings = if rows == 0 { 0 } else { rows.ilog2() };
        Self(first as u64 | (rows as u64) << 32 | (halvings as u64) << 56)
    }

    #[must_use]
    #[inline(always)]
    pub const fn first(self) -> u32 {
        self.0 as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn rows(self) -> u32 {
        (self.0 >> 32) as u32 & 0x00ff_ffff
    }

    /// At most 12, which the verifier has to know.
    #[must_use]
    #[inline(always)]
    pub const fn halvings(self) -> u32 {
        (self.0 >> 56) as u32 & 15
    }
}

/// A protocol and port as one number, in the order of the rows. Whatever has no ports has port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PortKey(pub u32);

impl PortKey {
    pub const LAST: Self = Self(0x00ff_ffff);

    #[must_use]
    #[inline(always)]
    pub const fn new(protocol: u8, port: u16) -> Self {
        Self((protocol as u32) << 16 | port as u32)
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    #[must_use]
    #[inline(always)]
    pub const fn port(self) -> u16 {
        self.0 as u16
    }
}

/// One interval of a program: from the row before (exclusive) to `last` (inclusive).
///
/// The rows of a program ascend and the last one ends at [`PortKey::LAST`], so every packet has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PortRow {
    /// A [`PortKey`].
    pub last: u32,
    /// The first Admin-tier rule that matches: a [`Ranked`] [`AdminVerdict`].
    pub admin: Ranked,
    /// What NetworkPolicies and the Baseline tier say: a [`Ranked`] [`LowerVerdict`].
    pub lower: Ranked,
    /// The agent's number for what decided, for events; 0 is nothing.
    pub admin_rule: u32,
    pub lower_rule: u32,
    pub _zero: u32,
}

super::layout!(PortRow, 24;
    last @ 0 => u32, admin @ 4 => Ranked, lower @ 8 => Ranked, admin_rule @ 12 => u32, lower_rule @ 16 => u32,
    _zero @ 20 => u32);

/// A verdict and its rank, `rank << 3 | verdict`: of two, the smaller number is the one that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Ranked(pub u32);

impl Ranked {
    /// No rule matched: of the last rank, and it reads as `Pass` in either half.
    pub const NONE: Self = Self(u32::MAX - 1);
    pub const MAX_RANK: u32 = (1 << 29) - 2;

    #[must_use]
    pub const fn admin(rank: u32, verdict: AdminVerdict) -> Self {
        Self(rank << 3 | verdict as u32)
    }

    /// Ranks of the Baseline tier start at [`LowerVerdict::BASELINE_RANK`].
    #[must_use]
    pub const fn lower(rank: u32, verdict: LowerVerdict) -> Self {
        Self(rank << 3 | verdict as u32)
    }

    #[must_use]
    #[inline(always)]
    pub const fn admin_verdict(self) -> AdminVerdict {
        match self.0 & 7 {
            0 => AdminVerdict::Accept,
            2 | 6 => AdminVerdict::Pass,
            _ => AdminVerdict::Deny,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn lower_verdict(self) -> LowerVerdict {
        match self.0 & 7 {
            0 => LowerVerdict::AllowNamed,
            1 => LowerVerdict::Allow,
            3 => LowerVerdict::Invalid,
            4 => LowerVerdict::BaselineAccept,
            5 => LowerVerdict::BaselineDeny,
            6 => LowerVerdict::Pass,
            7 => LowerVerdict::Capacity,
            _ => LowerVerdict::DefaultDeny,
        }
    }
}

/// What the Admin tier says. No match at all reads as `Pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AdminVerdict {
    Accept = 0,
    Deny = 1,
    Pass = 2,
}

/// What NetworkPolicies say (ranks 0 to 3), or else the Baseline tier. No match at all reads as `Pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LowerVerdict {
    /// Rank 0: a rule of a NetworkPolicy allows, and its peer names namespaces.
    AllowNamed = 0,
    /// Rank 1: a rule of a NetworkPolicy allows by any other peer.
    Allow = 1,
    /// Rank 3: a NetworkPolicy isolates the pod and no rule matched.
    DefaultDeny = 2,
    /// Rank 2: a NetworkPolicy that cannot be understood selects the pod, and no other rule allows.
    Invalid = 3,
    BaselineAccept = 4,
    BaselineDeny = 5,
    Pass = 6,
    /// Rank 2: the NetworkPolicies of the pod's namespace ask for more than a node has, so none of their rules is there.
    Capacity = 7,
}

impl LowerVerdict {
    pub const BASELINE_RANK: u32 = 4;
}
