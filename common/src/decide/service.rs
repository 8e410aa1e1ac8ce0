//! What is at the other end of a flow that a pod opens, and the judgement of a Service by what is behind it
//! (DESIGN.md §6): its backends' verdict where they all have the same.

use super::judge::{Judgement, Question};
use crate::abi::{Address, Backends, Direction, DropReason, Peer, PeerKind, PortKey, ServiceKey};

/// Look-ups of addresses.
pub trait Addresses {
    /// Pod and node addresses.
    fn peer(&self, address: &Address) -> Option<Peer>;
    /// The longest range that holds an address.
    fn range(&self, address: &Address) -> Option<Peer>;
    /// The number of what is behind a Service's port.
    fn service(&self, key: &ServiceKey) -> Option<u32>;
    fn backends(&self, number: u32) -> Option<&Backends>;
}

/// The other end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What its address is, whatever is called there.
    pub peer: Peer,
    /// Who calls it calls this Service.
    pub service: MaybeService,
}

/// The number of a Service, or none. One word that is always written: the payload of a `None` is not, and a verifier
/// refuses a program that as much as moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct MaybeService(u64);

impl MaybeService {
    pub const NONE: Self = Self(0);

    #[inline(always)]
    fn found(number: Option<u32>) -> Self {
        match number {
            Some(number) => Self(1 << 32 | u64::from(number)),
            None => Self::NONE,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some(self.0 as u32) }
    }
}

impl Remote {
    /// What is called at this address and port. A pod's address is the pod's, whatever Service claims it.
    #[inline(always)]
    pub fn of<A: Addresses>(addresses: &A, address: &Address, port: PortKey) -> Self {
        let known = addresses.peer(address);
        if let Some(peer) = known
            && matches!(peer.kind(), PeerKind::Pod | PeerKind::LocalPod | PeerKind::UnknownPod)
        {
            return Self { peer, service: MaybeService::NONE };
        }
        let mut service = MaybeService::found(addresses.service(&ServiceKey { address: *address, port }));
        if service == MaybeService::NONE && known.is_some() {
            service = MaybeService::found(addresses.service(&ServiceKey::of_nodes(address.is_v4(), port)));
        }
        let peer = match known {
            Some(peer) => peer,
            None if service != MaybeService::NONE => Peer::SERVICE,
            None => addresses.range(address).unwrap_or(Peer::EXTERNAL),
        };
        Self { peer, service }
    }
}

/// A judgement, and whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Called {
    pub judgement: Judgement,
    pub peer: Peer,
}

/// The verdict that holds for each of the backends. Where some are allowed and others are not, nobody knows which of
/// them the call will reach. `opened`: nobody but the pod can have opened the flow, so what a backend refuses counts.
#[inline(always)]
pub fn judge_each(
    backends: &Backends,
    protocol: u8,
    opened: bool,
    mut judge: impl FnMut(&Question) -> Judgement,
) -> Called {
    let direction = Direction::Egress;
    if backends.count == 0 {
        let question = Question { direction, peer: Peer::SERVICE, port: PortKey::new(protocol, 0) };
        return Called { judgement: judge(&question), peer: Peer::SERVICE };
    }
    let undecided = Called { judgement: Judgement::dropped(DropReason::ServiceUndecided), peer: Peer::SERVICE };
    let mut first = undecided;
    for index in 0..Backends::MOST {
        // Looked at anew each time: a loop up to the count is none that a verifier from before Linux 6.8 sees end.
        if index as u64 >= core::hint::black_box(backends.count) {
            break;
        }
        let peer = backends.peers[index];
        let judgement = judge(&Question { direction, peer, port: PortKey::new(protocol, backends.ports[index]) });
        let judgement = if opened { judgement.with_refusal() } else { judgement };
        if index == 0 {
            first = Called { judgement, peer };
        } else if judgement.is_allow() != first.judgement.is_allow() {
            return undecided;
        }
    }
    first
}
