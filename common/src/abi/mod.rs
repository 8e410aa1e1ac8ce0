//! The layout of every BPF map: plain structs without padding, written by the agent and read by the programs.
//!
//! Numbers are in host byte order unless a field says otherwise; addresses are in network byte order.
//! A change of any layout, of a map's key, or of what a field means raises [`VERSION`], which names the
//! folder that the maps are pinned in.

#![cfg_attr(
    feature = "user",
    allow(unsafe_code, reason = "aya's `Pod` promises that a struct is plain bytes: `layout!` proves it")
)]

mod checksum;
mod clock;
mod counters;
mod endpoint;
mod event;
mod flow;
mod flow_share;
mod mac;
mod nat;
mod peer;
mod reason;
mod rules;
mod service;
mod told;
mod tunnel;

pub use checksum::ChecksumLayout;
pub use clock::{Clock, SECOND, Ticks, ticks};
pub use counters::{Counter, DropKey, DropRow, Traffic};
pub use endpoint::{DirectionRules, Endpoint, Interface, Mode, Profile, Settings};
pub use event::Event;
pub use flow::{FlowEntry, FlowKey, FlowState, FragmentKey, FragmentPorts};
pub use flow_share::{FlowLimits, FlowPlace, FlowShare, FlowTotals};
pub use mac::Mac;
pub use nat::{KernelLayout, NatKey};
pub use peer::{Address, Peer, PeerKind, TenantId};
pub use reason::{AllowReason, Direction, DropReason};
pub use rules::{AdminVerdict, LowerVerdict, PortKey, PortRow, ProgramRef, Ranked, RuleKey};
pub use service::{Backend, Backends, DelegateKey, Lead, ServiceKey};
pub use told::{Telling, Told};
pub use tunnel::{TUNNEL_PORTS, TUNNEL_WORDS, tunnel_bit};

/// Version of everything in this module. Maps of different versions never share a pin folder.
pub const VERSION: u32 = 9;

/// Version of the keys and values of the table of flows, which an upgrade takes along where it is the same.
pub const FLOW_LAYOUT: u32 = 1;

/// Asserts at compile time that a struct has no padding, and that its fields lie where the other side
/// expects them: `layout!(Type, size; field @ offset: Type, …)`.
macro_rules! layout {
    ($type:ty, $size:expr; $($field:ident @ $offset:expr => $field_type:ty),+ $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            assert!(0 $(+ core::mem::size_of::<$field_type>())+ == $size, "padding");
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)+
        };
        // SAFETY: `repr(C)`, without padding (asserted above), and every bit pattern is a value.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}
use layout;
