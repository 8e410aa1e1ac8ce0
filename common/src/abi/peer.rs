//! Addresses, and what an address is to policy: one 8-byte word.

/// An IP address in network byte order, IPv4 as IPv4-mapped IPv6 (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Address {
    /// Four 32-bit groups, each in network byte order in memory.
    pub words: [u32; 4],
}

super::layout!(Address, 16; words @ 0 => [u32; 4]);

impl Address {
    pub const UNSPECIFIED_V4: Self = Self::v4([0; 4]);
    const MAPPED: u32 = u32::from_be(0xffff);

    #[must_use]
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self::v4_word(u32::from_ne_bytes(octets))
    }

    /// From the four bytes as they lie in memory.
    #[must_use]
    #[inline(always)]
    pub const fn v4_word(word: u32) -> Self {
        Self { words: [0, 0, Self::MAPPED, word] }
    }

    #[must_use]
    #[inline(always)]
    pub const fn v6(o: [u8; 16]) -> Self {
        Self {
            words: [
                u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
                u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
                u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
                u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
            ],
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == Self::MAPPED
    }

    /// `fe80::/10`.
    #[must_use]
    #[inline(always)]
    pub const fn is_link_local_v6(&self) -> bool {
        self.words[0] & u32::from_be(0xffc0_0000) == u32::from_be(0xfe80_0000)
    }

    /// IPv4 224.0.0.0/4 and 255.255.255.255, IPv6 ff00::/8.
    #[must_use]
    #[inline(always)]
    pub const fn is_group(&self) -> bool {
        if self.is_v4() {
            self.words[3] & u32::from_be(0xf000_0000) == u32::from_be(0xe000_0000) || self.words[3] == u32::MAX
        } else {
            self.words[0] & u32::from_be(0xff00_0000) == u32::from_be(0xff00_0000)
        }
    }

    /// 127.0.0.0/8 or `::1`.
    #[must_use]
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        if self.is_v4() {
            self.words[3] & u32::from_be(0xff00_0000) == u32::from_be(0x7f00_0000)
        } else {
            self.is_in_lowest_range() && self.words[3] == u32::from_be(1)
        }
    }

    /// An IPv6 address that stands for an IPv4 one, as programs use it among themselves: IPv4-mapped `::ffff:0:0/96`, or
    /// IPv4-compatible `::/96` without `::` and `::1` (RFC 4291 §2.5.5). No IPv6 header has one.
    #[must_use]
    #[inline(always)]
    pub const fn embeds_v4(&self) -> bool {
        self.is_v4() || (self.is_in_lowest_range() && self.words[3] != 0 && self.words[3] != u32::from_be(1))
    }

    /// `::/96`.
    #[inline(always)]
    const fn is_in_lowest_range(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == 0
    }

    /// `0.0.0.0` or `::`.
    #[must_use]
    #[inline(always)]
    pub const fn is_unspecified(&self) -> bool {
        self.words[0] == 0
            && self.words[1] == 0
            && self.words[3] == 0
            && (self.words[2] == 0 || self.words[2] == Self::MAPPED)
    }

    /// The 16 bytes in network byte order.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d] = [
            self.words[0].to_ne_bytes(),
            self.words[1].to_ne_bytes(),
            self.words[2].to_ne_bytes(),
            self.words[3].to_ne_bytes(),
        ];
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(ip: core::net::IpAddr) -> Self {
        match ip {
            core::net::IpAddr::V4(v4) => Self::v4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        let octets = address.octets();
        if address.is_v4() { Self::from([octets[12], octets[13], octets[14], octets[15]]) } else { Self::from(octets) }
    }
}

/// A tenant's number: 0 is the platform (no tenant); [`TenantId::QUARANTINE`] marks a quarantined namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct TenantId(pub u32);

impl TenantId {
    pub const PLATFORM: Self = Self(0);
    /// Set in the number of a tenant that is one quarantined namespace.
    pub const QUARANTINE: u32 = 1 << 17;
    /// The largest number that a peer's word can carry.
    pub const MAX: u32 = (1 << 18) - 1;

    #[must_use]
    #[inline(always)]
    pub const fn is_quarantine(self) -> bool {
        self.0 & Self::QUARANTINE != 0
    }
}

/// What kind of thing owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PeerKind {
    /// Outside the cluster: only a CIDR class.
    External = 0,
    Pod = 1,
    /// The node that the program runs on.
    OwnNode = 2,
    OtherNode = 3,
    /// In a pod range, but owned by no known pod: matched by no selector and no ipBlock, foreign to all tenants.
    UnknownPod = 4,
    /// A pod with an endpoint on this node: its address is accepted only from its own veth.
    LocalPod = 5,
    /// A Service of which nothing more is known: who is behind it may be anybody.
    Service = 6,
}

/// What an address is to policy, as one word so that an update is never seen half done.
///
/// bits 0–21 identity, 22–40 CIDR class, 41–58 tenant, 59 claimed, 60 closed, 61–63 kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Peer(pub u64);

impl Peer {
    pub const MAX_IDENTITY: u32 = (1 << 22) - 1;
    pub const MAX_CLASS: u32 = (1 << 19) - 1;
    /// An address about which nothing is said: outside the cluster, in no ipBlock.
    pub const EXTERNAL: Self = Self::new(PeerKind::External, 0, 0, TenantId::PLATFORM);
    /// An address in a service range.
    pub const SERVICE: Self = Self::new(PeerKind::Service, 0, 0, TenantId::PLATFORM);

    /// Identity 0 and class 0 mean "none": no rule row exists for them.
    #[must_use]
    pub const fn new(kind: PeerKind, identity: u32, class: u32, tenant: TenantId) -> Self {
        Self(
            (identity & Self::MAX_IDENTITY) as u64
                | ((class & Self::MAX_CLASS) as u64) << 22
                | ((tenant.0 & TenantId::MAX) as u64) << 41
                | (kind as u64) << 61,
        )
    }

    /// The same pod, one that lets no pod of another tenant in, whatever it asks for (DESIGN.md §6, *guarded* is the
    /// opposite): its node may not be able to tell who they are, and theirs drops what they send it.
    #[must_use]
    pub const fn closed(self) -> Self {
        Self(self.0 | 1 << 60)
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        self.0 & 1 << 60 != 0
    }

    /// The same pod, whose address a Service claims too (`externalIPs`, a load balancer): what is sent to it may reach
    /// others.
    #[must_use]
    pub const fn claimed(self) -> Self {
        Self(self.0 | 1 << 59)
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_claimed(self) -> bool {
        self.0 & 1 << 59 != 0
    }

    /// True for a known pod, claimed or not.
    #[must_use]
    #[inline(always)]
    pub const fn is_pod(self) -> bool {
        matches!(self.kind(), PeerKind::Pod | PeerKind::LocalPod)
    }

    /// True for a pod's address at which no Service is looked up.
    #[must_use]
    #[inline(always)]
    pub const fn hides_services(self) -> bool {
        self.is_pod() && !self.is_claimed()
    }

    #[must_use]
    #[inline(always)]
    pub const fn identity(self) -> u32 {
        self.0 as u32 & Self::MAX_IDENTITY
    }

    #[must_use]
    #[inline(always)]
    pub const fn class(self) -> u32 {
        (self.0 >> 22) as u32 & Self::MAX_CLASS
    }

    #[must_use]
    #[inline(always)]
    pub const fn tenant(self) -> TenantId {
        TenantId((self.0 >> 41) as u32 & TenantId::MAX)
    }

    /// The same address, taken for another kind of thing.
    #[must_use]
    #[inline(always)]
    pub const fn with_kind(self, kind: PeerKind) -> Self {
        Self(self.0 & !(7 << 61) | (kind as u64) << 61)
    }

    /// A number that names no kind reads as an unknown pod: the strictest.
    #[must_use]
    #[inline(always)]
    pub const fn kind(self) -> PeerKind {
        match self.0 >> 61 {
            0 => PeerKind::External,
            1 => PeerKind::Pod,
            2 => PeerKind::OwnNode,
            3 => PeerKind::OtherNode,
            5 => PeerKind::LocalPod,
            6 => PeerKind::Service,
            _ => PeerKind::UnknownPod,
        }
    }
}
