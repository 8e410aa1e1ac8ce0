//! The look-ups that judging a packet needs: BPF maps in the kernel, ordinary maps on the host.

use super::{Addresses, Behind, Call, Called, Judgement, Question, Remote, Rules, judge, tunnel};
use crate::abi::{
    Address, DropReason, Endpoint, FlowEntry, FlowKey, FlowState, FragmentKey, FragmentPorts, Interface, NatKey, Peer,
    PortKey, Profile, Settings,
};

/// Every table of a node. `None` is always "there is no such row".
pub trait Tables: Rules + Addresses {
    fn settings(&self) -> Settings;
    /// [`Settings::after_dnat`] by itself: each packet asks for it.
    fn is_after_dnat(&self) -> bool;
    /// Nanoseconds since boot, a few milliseconds exact.
    fn time(&self) -> u64;
    fn epoch(&self) -> u64;
    fn interface(&self, ifindex: u32) -> Option<Interface>;
    fn endpoint(&self, slot: u32) -> Option<&Endpoint>;
    fn profile(&self, index: u64) -> Option<&Profile>;
    fn flow(&self, key: &FlowKey) -> Option<&FlowEntry>;
    /// False where there is one, or no room.
    fn insert_flow(&self, key: &FlowKey, entry: &FlowEntry) -> bool;
    /// [`enter_ring`](super::enter_ring): in the programs a function of its own, as is the next.
    fn enter_ring(&self, slot: u32, key: &FlowKey) -> bool;
    /// [`count_flow`](super::count_flow).
    fn count_flow(&self, slot: u32, key: &FlowKey, state: FlowState) -> FlowState;
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts>;
    /// True for a UDP port at which nodes open tunnel packets.
    fn is_tunnel_port(&self, port: u16) -> bool;
    fn insert_fragment(&self, key: &FragmentKey, ports: FragmentPorts) -> bool;

    /// The slot of the local pod that has an address.
    fn local(&self, address: &Address) -> Option<u32>;
    fn nat_flow(&self, key: &NatKey) -> Option<&FlowEntry>;
    /// In place of what was there. False where there is no room.
    fn insert_nat_flow(&self, key: &NatKey, entry: &FlowEntry) -> bool;

    /// Judges one direction of a flow at a pod with this profile. The programs make it a function of its own,
    /// which their verifier looks at once and not once for each way to it.
    #[inline(always)]
    fn judge(&self, profile: u64, question: &Question) -> Judgement
    where
        Self: Sized,
    {
        judge_profile(self, profile, question)
    }

    /// [`Remote::of`]. Most pods' addresses hide Services: for those no function is called.
    #[inline(always)]
    fn remote(&self, address: &Address, port: PortKey) -> Remote
    where
        Self: Sized,
    {
        let known = self.peer(address);
        match Remote::hiding(known) {
            Some(remote) => remote,
            None => self.beyond(known, address, port),
        }
    }

    /// [`Remote::beyond`]: in the programs a function of its own, too.
    #[inline(always)]
    fn beyond(&self, known: Option<Peer>, address: &Address, port: PortKey) -> Remote
    where
        Self: Sized,
    {
        Remote::beyond(self, known, address, port)
    }

    /// The end that stands for what is behind a Service that the pod whose record has this number calls: in the programs a
    /// function of its own, too.
    #[inline(always)]
    fn behind(&self, slot: u32, call: &Call) -> Behind
    where
        Self: Sized,
    {
        behind(self, slot, call)
    }
}

/// [`Tables::behind`]: a record that should be there and is not drops.
#[inline(always)]
pub fn behind<T: Tables>(tables: &T, slot: u32, call: &Call) -> Behind {
    match tables.endpoint(slot) {
        Some(caller) => call.behind(tables, tables.profile(caller.profile), |address| caller.owns(address)),
        None => Behind::MISSING,
    }
}

/// Judges the call of a Service by a pod of this node.
#[inline(always)]
pub(super) fn judge_call<T: Tables>(tables: &T, (slot, caller): (u32, &Endpoint), call: &Call) -> Called {
    if caller.is(Endpoint::PENDING) {
        return Called { judgement: Judgement::dropped(DropReason::NotReady), peer: Peer::SERVICE };
    }
    let judge = |question: &Question| match tunnel::is_refused(tables, question.port, question.peer) {
        true => Judgement::dropped(DropReason::Tunnel),
        false => tables.judge(caller.profile, question),
    };
    call.judge(|call| tables.behind(slot, call), judge)
}

/// What an address is to policy.
#[inline(always)]
pub(super) fn peer_of<T: Tables>(tables: &T, address: &Address) -> Peer {
    match tables.peer(address) {
        Some(peer) => peer,
        None => tables.range(address).unwrap_or(Peer::EXTERNAL),
    }
}

/// [`Tables::judge`]: a profile that should be there and is not drops.
#[inline(always)]
pub fn judge_profile<T: Tables>(tables: &T, profile: u64, question: &Question) -> Judgement {
    match tables.profile(profile) {
        Some(profile) => judge(tables, profile, *question),
        None => Judgement::dropped(DropReason::Capacity),
    }
}
