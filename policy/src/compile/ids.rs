//! What a number in the kernel's maps stands for, so that none is given to anything else while it is in use.

use std::collections::BTreeMap;
use std::hash::Hash;

use siphasher::sip128::{Hasher128, SipHasher24};

/// 128 bits that stand for the content of a thing; on one node the same in every process and after every restart.
pub type Digest = [u8; 16];

/// What a number numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    Identity = 1,
    Class = 2,
    Set = 3,
    Tenant = 4,
    /// What decided, in events.
    Rule = 5,
    /// By its first row; the last four bytes of its digest are its number of rows, in network byte order.
    Program = 6,
    Profile = 7,
    /// What is behind a Service's port.
    Backends = 8,
    /// The node's own key of all these digests ([`Id::SECRET`]).
    Secret = 9,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Class,
        Self::Set,
        Self::Tenant,
        Self::Rule,
        Self::Program,
        Self::Profile,
        Self::Backends,
        Self::Secret,
    ];

    /// The kind with that number in the `IDS` map.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Class => "class",
            Self::Set => "set",
            Self::Tenant => "tenant",
            Self::Rule => "rule",
            Self::Program => "program",
            Self::Profile => "profile",
            Self::Backends => "backends",
            Self::Secret => "secret",
        }
    }
}

/// Key of the `IDS` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub kind: Kind,
    pub number: u32,
}

impl Id {
    /// The one secret of a node. Who knows it may find two programs with one digest, 2^48 hashes away: 96 bits stand for
    /// a program.
    pub const SECRET: Self = Self { kind: Kind::Secret, number: 0 };
}

/// The `IDS` map: every number in use, and the digest of what it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(pub BTreeMap<Id, Digest>);

impl Ids {
    /// The hash of this node's contents.
    pub(super) fn hash(&self) -> ContentHash {
        self.0.get(&Id::SECRET).map_or(ContentHash::PUBLIC, ContentHash::keyed)
    }

    /// The numbers of a kind that are in use.
    pub fn numbers(&self, kind: Kind) -> impl Iterator<Item = u32> {
        self.of(kind).map(|(number, _)| number)
    }

    /// The rows of all programs, ascending.
    pub fn port_rows(&self) -> impl Iterator<Item = u32> {
        self.of(Kind::Program).flat_map(|(first, digest)| first..first.saturating_add(program_length(digest)))
    }

    /// The numbers of a kind, ascending.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (u32, &Digest)> {
        let all = Id { kind, number: 0 }..=Id { kind, number: u32::MAX };
        self.0.range(all).map(|(id, digest)| (id.number, digest))
    }

    /// Forgets what a number stands for, but not that it is in use: what it stood for gets another number.
    pub fn distrust(&mut self, id: Id) {
        if let Some(digest) = self.0.get_mut(&id) {
            // The rest of a program's digest is its length.
            digest[..12].fill(0);
        }
    }
}

/// The number of a program's rows.
pub(super) const fn program_length(digest: &Digest) -> u32 {
    let [.., a, b, c, d] = *digest;
    u32::from_be_bytes([a, b, c, d])
}

/// Makes the digest of a content.
#[derive(Clone, Copy)]
pub(super) struct ContentHash(u64, u64);

impl ContentHash {
    /// Without a secret: for questions, and for labs, whose worlds are their user's own.
    const PUBLIC: Self = Self(0x6275_6c6b_6865_6164, 0x6162_6920_6964_7331);

    fn keyed(secret: &Digest) -> Self {
        let key = u128::from_be_bytes(*secret);
        Self((key >> 64) as u64, key as u64)
    }

    pub(super) fn digest(self, content: &(impl Hash + ?Sized)) -> Digest {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        content.hash(&mut hasher);
        let (high, low) = hasher.finish128().as_u64();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes
    }
}
