//! The other end of a flow that a pod opens, and the judgement of a Service by what is behind it (DESIGN.md §6): its
//! backends' verdict where they all have the same.

use super::judge::{Judgement, Question, Tiers, Verdict};
use crate::abi::{
    Address, Backend, Backends, DelegateKey, Direction, DropReason, Lead, Peer, PeerKind, PortKey, Profile, ServiceKey,
};

/// Look-ups of addresses.
pub trait Addresses {
    /// Pod and node addresses.
    fn peer(&self, address: &Address) -> Option<Peer>;
    /// The longest range that holds an address.
    fn range(&self, address: &Address) -> Option<Peer>;
    /// Where an address and port lead.
    fn service(&self, key: &ServiceKey) -> Option<Lead>;
    fn backends(&self, number: u32) -> Option<&Backends>;
    fn delegate(&self, key: &DelegateKey) -> Option<Backend>;
}

/// The other end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What its address is, whatever is called there.
    pub peer: Peer,
    /// Who calls it calls this Service.
    pub service: MaybeService,
}

/// A Service, or none. One word that is always written: the payload of a `None` is not, and a verifier refuses a program
/// that as much as moves it.
///
/// bits 0–31 the number of the backends, 32 chosen (as in [`Lead`]), 33 at any node, 34 there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct MaybeService(u64);

impl MaybeService {
    pub const NONE: Self = Self(0);
    const AT_NODES: u64 = 1 << 33;
    const FOUND: u64 = 1 << 34;

    #[inline(always)]
    fn found(lead: Option<Lead>) -> Self {
        match lead {
            Some(lead) => Self(Self::FOUND | lead.0),
            None => Self::NONE,
        }
    }

    /// All that it says, as a word.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The inverse of [`Self::word`].
    #[must_use]
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// The number of the backends.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some(self.0 as u32) }
    }

    /// Called at a port that every node has.
    #[must_use]
    #[inline(always)]
    pub const fn is_at_nodes(self) -> bool {
        self.0 & Self::AT_NODES != 0
    }

    /// Whoever may write a Service or a pod chose the address: nobody promises that a node rewrites the call.
    #[must_use]
    #[inline(always)]
    pub const fn is_chosen(self) -> bool {
        Lead(self.0).is_chosen()
    }
}

impl Remote {
    /// What is called at this address and port. A pod's address is the pod's, unless a Service claims it: then both may
    /// be called. An address of a pod range that no pod is known to have may be a node's (the gateway of its pods).
    #[inline(always)]
    pub fn of<A: Addresses>(addresses: &A, address: &Address, port: PortKey) -> Self {
        let known = addresses.peer(address);
        match Self::hiding(known) {
            Some(remote) => remote,
            None => Self::beyond(addresses, known, address, port),
        }
    }

    /// What is called at an address that is `known` to hide Services; `None` for any other.
    #[inline(always)]
    pub(super) fn hiding(known: Option<Peer>) -> Option<Self> {
        Some(Self { peer: known.filter(|peer| peer.hides_services())?, service: MaybeService::NONE })
    }

    /// [`Self::of`] an address that is `known` to hide no Services, or is not known.
    #[inline(always)]
    pub fn beyond<A: Addresses>(addresses: &A, known: Option<Peer>, address: &Address, port: PortKey) -> Self {
        let mut service = MaybeService::found(addresses.service(&ServiceKey { address: *address, port }));
        let peer = match known {
            Some(peer) => peer,
            // The API server gave the address to a Service.
            None if service != MaybeService::NONE && !service.is_chosen() => Peer::SERVICE,
            None => addresses.range(address).unwrap_or(Peer::EXTERNAL),
        };
        let at_any = match peer.kind() {
            PeerKind::OwnNode | PeerKind::OtherNode | PeerKind::UnknownPod => {
                Some((ServiceKey::of_nodes(address.is_v4(), port), MaybeService::AT_NODES))
            }
            PeerKind::Pod | PeerKind::LocalPod => Some((ServiceKey::of_claimed_pods(address.is_v4(), port), 0)),
            PeerKind::External | PeerKind::Service => None,
        };
        if service == MaybeService::NONE
            && let Some((key, flag)) = at_any
        {
            service = MaybeService::found(addresses.service(&key));
            service.0 |= if service == MaybeService::NONE { 0 } else { flag };
        }
        Self { peer, service }
    }

    /// The tiers that must allow a call of the Service at the address itself, before what is behind it is asked: all of
    /// them where nobody promises that a node rewrites the call.
    #[inline(always)]
    fn asked_itself(&self) -> Option<Tiers> {
        if self.service.is_chosen() {
            return Some(Tiers::All);
        }
        match self.peer.kind() {
            PeerKind::Service => None,
            PeerKind::UnknownPod => Some(Tiers::All),
            PeerKind::External | PeerKind::Pod | PeerKind::LocalPod | PeerKind::OwnNode | PeerKind::OtherNode => {
                Some(Tiers::Admin)
            }
        }
    }

    /// True where another node picks the backend.
    #[inline(always)]
    pub(super) fn is_elsewhere(&self) -> bool {
        self.service.is_at_nodes() && !matches!(self.peer.kind(), PeerKind::OwnNode)
    }
}

/// A judgement, and whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Called {
    pub judgement: Judgement,
    pub peer: Peer,
}

/// A pod's call of a Service, which the end names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub end: Remote,
    /// What is called at the address.
    pub port: PortKey,
    /// Nobody but the pod can have opened the flow, so what a backend refuses counts.
    pub opened: bool,
}

impl Call {
    /// The verdict that holds for the address itself, as far as nobody else may answer for it, and for each of the
    /// backends: `behind` is [`Self::behind`], which is looked up only where the address itself does not refuse.
    #[inline(always)]
    pub fn judge(&self, behind: impl FnOnce(&Self) -> Behind, mut judge: impl FnMut(&Question) -> Judgement) -> Called {
        if let Some(refused) = self.judge_itself(&mut judge) {
            return refused;
        }
        self.judge_behind(&behind(self), judge)
    }

    /// The refusal of the address itself, as far as nobody else may answer for it. `None` where what is behind it decides.
    #[inline(always)]
    fn judge_itself(&self, mut judge: impl FnMut(&Question) -> Judgement) -> Option<Called> {
        let peer = self.end.peer;
        let tiers = self.end.asked_itself()?;
        let judgement = judge(&Question { tiers, ..Question::new(Direction::Egress, peer, self.port) });
        if let Verdict::Drop(_) = judgement.verdict { Some(Called { judgement, peer }) } else { None }
    }

    /// The end whose verdict holds for each of the backends. Where some of those are allowed and others are not, nobody
    /// knows which of them the call will reach. Backends that should be there and are not drop. `owns`: an address of the
    /// caller.
    #[inline(always)]
    pub fn behind<A: Addresses>(
        &self,
        addresses: &A,
        caller: Option<&Profile>,
        owns: impl Fn(&Address) -> bool,
    ) -> Behind {
        let Some(number) = self.end.service.number() else { return Behind::MISSING };
        let Some(backends) = addresses.backends(number) else { return Behind::MISSING };
        if owns(&backends.alone) {
            return Behind::of(Decision::Itself);
        }
        let protocol = self.port.protocol();
        let asked = match (backends.kinds, caller) {
            (Backends::ONE, _) => Some(backends.only),
            (Backends::SEVERAL, Some(caller)) => addresses.delegate(&DelegateKey::new(number, caller)),
            _ => None,
        };
        let Some(backend) = asked else {
            return Behind { port: PortKey::new(protocol, 0), ..Behind::of(Decision::Asks) };
        };
        if backend.differs() && !self.end.is_elsewhere() {
            return Behind::of(Decision::Undecided);
        }
        Behind { decision: Decision::Asks, peer: backend.peer, port: PortKey::new(protocol, backend.port()) }
    }

    /// The verdict on what is behind a Service.
    #[inline(always)]
    fn judge_behind(&self, behind: &Behind, mut judge: impl FnMut(&Question) -> Judgement) -> Called {
        let Behind { decision, peer, port } = *behind;
        let judgement = match decision {
            Decision::Asks => judge(&Question::new(Direction::Egress, peer, port)),
            Decision::Missing => Judgement::dropped(DropReason::Capacity),
            Decision::Itself => Judgement::of_itself(),
            Decision::Undecided => Judgement::dropped(DropReason::ServiceUndecided),
        };
        Called { judgement: if self.opened { judgement.with_refusal() } else { judgement }, peer }
    }
}

/// How a call of a Service is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Decision {
    /// By the rules for one end.
    Asks = 0,
    /// There is no row of what is behind it.
    Missing = 1,
    /// The pod that calls is its only end.
    Itself = 2,
    /// Some ends are allowed, others are not.
    Undecided = 3,
}

/// The end that stands for what is behind a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    pub decision: Decision,
    pub peer: Peer,
    /// Protocol and port at the end.
    pub port: PortKey,
}

impl Behind {
    /// There is no row of what is behind it.
    pub const MISSING: Self = Self::of(Decision::Missing);

    #[inline(always)]
    const fn of(decision: Decision) -> Self {
        Self { decision, peer: Peer::SERVICE, port: PortKey(0) }
    }
}

/// The backend whose verdict holds for each of these, or the first that refuses where others do not. `None` where there is
/// none.
///
/// One that refuses by the caller's own rules comes before one that refuses by the receiver's: its verdict is the same
/// whoever opened the flow.
pub fn delegate(
    kinds: impl Iterator<Item = Backend>,
    protocol: u8,
    mut judge: impl FnMut(&Question) -> Judgement,
) -> Option<Backend> {
    let (mut allowed, mut refused, mut dropped) = (None, None, None);
    for kind in kinds {
        let question = Question::new(Direction::Egress, kind.peer, PortKey::new(protocol, kind.port()));
        let judgement = judge(&question);
        let found = match (judgement.is_allow(), judgement.refused.is_some()) {
            (true, false) => &mut allowed,
            (true, true) => &mut refused,
            (false, _) => &mut dropped,
        };
        found.get_or_insert(kind);
    }
    let refuses: Option<Backend> = dropped.or(refused);
    match (refuses, allowed) {
        (Some(kind), Some(_)) => Some(kind.differ()),
        (refuses, allowed) => refuses.or(allowed),
    }
}
