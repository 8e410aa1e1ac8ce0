//! What a program tells about a packet that it dropped, or would have dropped.

use super::{Address, TenantId};

/// An entry of the `EVENTS` ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since boot (`CLOCK_MONOTONIC`, coarse).
    pub time: u64,
    pub source: Address,
    pub destination: Address,
    /// The endpoint that judged.
    pub endpoint: u32,
    /// What decided ([`super::PortRow`]); 0 where no rule did.
    pub rule: u32,
    pub source_tenant: TenantId,
    pub destination_tenant: TenantId,
    /// Bytes of the frame.
    pub length: u32,
    /// The MAC address of the sender, for what has no IP source.
    pub source_mac: [u8; 6],
    /// Host byte order; 0 for what has no ports.
    pub source_port: u16,
    pub destination_port: u16,
    /// EtherType, host byte order.
    pub ether_type: u16,
    pub protocol: u8,
    /// A [`super::Direction`]: whose verdict it is.
    pub direction: u8,
    /// A [`super::DropReason`].
    pub reason: u8,
    /// 1: not dropped, tenancy is in audit mode.
    pub audited: u8,
    /// The [`super::Direction`] of the endpoint that judged: the sender carries out some verdicts of the receiver.
    pub hook: u8,
    pub _zero: [u8; 3],
}

super::layout!(Event, 80;
    time @ 0 => u64, source @ 8 => Address, destination @ 24 => Address, endpoint @ 40 => u32, rule @ 44 => u32,
    source_tenant @ 48 => TenantId, destination_tenant @ 52 => TenantId, length @ 56 => u32,
    source_mac @ 60 => [u8; 6], source_port @ 66 => u16, destination_port @ 68 => u16, ether_type @ 70 => u16,
    protocol @ 72 => u8, direction @ 73 => u8, reason @ 74 => u8, audited @ 75 => u8, hook @ 76 => u8,
    _zero @ 77 => [u8; 3]);
