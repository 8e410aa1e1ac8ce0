//! Judgement of what the node has rewritten, under its true ends (DESIGN.md §6), and of calls that a veth let pass because
//! the node was to rewrite them.
//!
//! The kernel's conntrack tells the true ends of a packet and who opened its flow. Both directions are judged as the
//! opener's, so that an entry that is lost costs a judgement and never breaks or opens a flow.

mod connection;

use core::cell::Cell;

pub use connection::Connection;

use super::judge::{Judgement, Question};
use super::sender::is_tunnel;
use super::service::{Call, Remote};
use super::tables::{Tables, peer_of};
use super::timeouts::{is_alive, lifetime, worth_writing};
use super::track::local_index;
use super::{Outcome, Verdict};
use crate::abi::{
    Address, AllowReason, Direction, DropReason, Endpoint, FlowEntry, FlowKey, FlowState, NatKey, Peer, PeerKind,
    PortKey, Ticks, ticks,
};
use crate::parse::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// A packet at one of the two hooks behind the rewriting: before it leaves the node, and before it is delivered there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Delivered on the node.
    pub is_local: bool,
    /// The interface that it came in by, 0 for what the node itself sends.
    pub ingress_ifindex: u32,
    /// From the end that did not open the connection.
    pub is_answer: bool,
    /// An ICMP error about the connection.
    pub is_error: bool,
    /// A pod's veth let it pass to be judged here.
    pub is_undecided: bool,
}

/// True for a call that this node rewrites, as far as anybody knows: also at an address that somebody chose (externalIP,
/// load balancer, hostPort). Another node rewrites calls of its own NodePorts. What is not rewritten after all is judged
/// by all that it may lead to ([`Call::judge`]).
#[inline(always)]
pub(super) fn is_rewritten_here(remote: Remote) -> bool {
    match remote.service.number() {
        Some(_) => !remote.is_elsewhere(),
        None => matches!(remote.peer.kind(), PeerKind::Service),
    }
}

/// A packet of a connection, with what stays the same while it is judged.
struct Flow<'a, T> {
    tables: &'a T,
    connection: &'a Connection,
    packet: &'a Passage,
    ends: NatKey,
    epoch: u64,
    now: Ticks,
}

/// Decides about a packet at a netfilter hook. `outcome` is overwritten. Returns the direction of the endpoint that judged.
#[inline(always)]
pub fn decide_after_dnat<T: Tables>(
    tables: &T,
    connection: &Connection,
    packet: &Passage,
    outcome: &mut Outcome,
) -> Direction {
    *outcome = Outcome::of(Direction::Egress, 0);
    outcome.verdict = Verdict::Allow(AllowReason::Unmanaged);
    // Read first: what is stamped on a flow must not be newer than the rules that allowed it.
    let epoch = tables.epoch();
    let flow = Flow { tables, connection, packet, ends: connection.ends(), epoch, now: ticks(tables.time()) };
    if connection.is_rewritten() || packet.is_undecided || flow.went_undecided() {
        return flow.decide(outcome);
    }
    Direction::Egress
}

impl<T: Tables> Flow<'_, T> {
    /// Whether a pod's veth may have let this first packet of a connection pass: the mark on it does not survive every
    /// program behind ours.
    #[inline(always)]
    fn went_undecided(&self) -> bool {
        !self.connection.is_confirmed()
            && self.local(&self.ends.source).is_some()
            && is_rewritten_here(Remote::of(self.tables, &self.ends.destination, self.port()))
    }

    #[inline(always)]
    fn decide(&self, outcome: &mut Outcome) -> Direction {
        let known = self.known();
        if let Some(entry) = known
            && self.connection.is_confirmed()
            && entry.epoch.get() == self.epoch
            && !state_of(entry).is(FlowState::TOMBSTONE)
        {
            let state = state_of(entry);
            outcome.verdict = Verdict::Allow(AllowReason::Established);
            let after = self.next(state.flags());
            if !self.packet.is_error && worth_writing(state, after) {
                entry.state.set(after.0);
                self.admit(self.receiver());
            }
            return Direction::Egress;
        }
        let sender = self.local(&self.ends.source);
        let receiver = self.receiver();
        let source = peer_of(self.tables, &self.ends.source);
        let by_node = self.is_by_node(source, known);
        let judged = self.judge(sender, receiver, self.seen_by_receiver(source, by_node), outcome);
        self.settle(sender, receiver, by_node, known, outcome);
        judged
    }

    /// Judges each end that is a local pod, but for a receiver that sees who calls: its own veth does.
    #[inline(always)]
    fn judge(
        &self,
        sender: Option<&Endpoint>,
        receiver: Option<&Endpoint>,
        source: Peer,
        outcome: &mut Outcome,
    ) -> Direction {
        let destination = peer_of(self.tables, &self.ends.destination);
        (outcome.source_tenant, outcome.destination_tenant) = (source.tenant(), destination.tenant());
        if let Some(sender) = sender {
            let judgement = self.judge_sender(sender, destination);
            note(outcome, sender, Direction::Egress, judgement);
            if let Verdict::Drop(_) = judgement.verdict {
                if judgement.refused.is_some() {
                    outcome.direction = Direction::Ingress;
                }
                return Direction::Egress;
            }
            if sender.owns(&self.ends.destination) {
                return Direction::Egress;
            }
        }
        if let Some(receiver) = receiver {
            note(outcome, receiver, Direction::Ingress, self.judge_at(receiver, Direction::Ingress, source));
            return Direction::Ingress;
        }
        Direction::Egress
    }

    #[inline(always)]
    fn judge_sender(&self, sender: &Endpoint, destination: Peer) -> Judgement {
        if !self.packet.is_answer && !self.came_from(sender) {
            return Judgement::dropped(DropReason::SpoofedSource);
        }
        if sender.owns(&self.ends.destination) {
            return Judgement::of_itself();
        }
        if is_tunnel(self.ends.protocol(), self.ends.destination_port())
            && matches!(destination.kind(), PeerKind::OwnNode | PeerKind::OtherNode)
            && self.tables.settings().allow_tunnels == 0
        {
            return Judgement::dropped(DropReason::Tunnel);
        }
        if self.connection.is_rewritten() {
            return self.judge_at(sender, Direction::Egress, destination).with_refusal();
        }
        // Nothing has rewritten the call. What the node takes at an address of its own goes to the node; any other may
        // be rewritten where it arrives, or a process of the node answers for the Service.
        let end = Remote::of(self.tables, &self.ends.destination, self.port());
        let is_the_nodes = self.packet.is_local && matches!(end.peer.kind(), PeerKind::OwnNode);
        match end.service.number() {
            Some(service) if !is_the_nodes && !sender.is(Endpoint::PENDING) => {
                let caller = self.tables.profile(sender.profile);
                let owns = |address: &Address| sender.owns(address);
                let judge = |question: &Question| self.tables.judge(sender.profile, question);
                Call { end, port: self.port(), opened: true }.judge(self.tables, service, caller, owns, judge).judgement
            }
            _ => self.judge_at(sender, Direction::Egress, destination).with_refusal(),
        }
    }

    #[inline(always)]
    fn judge_at(&self, endpoint: &Endpoint, direction: Direction, peer: Peer) -> Judgement {
        let is_own_node = matches!(peer.kind(), PeerKind::OwnNode);
        if endpoint.is(if is_own_node { Endpoint::HELD } else { Endpoint::PENDING }) {
            return Judgement::dropped(DropReason::NotReady);
        }
        self.tables.judge(endpoint.profile, &Question::new(direction, peer, self.port()))
    }

    /// Turns a judgement into a verdict on the packet and its flow.
    #[inline(always)]
    fn settle(
        &self,
        sender: Option<&Endpoint>,
        receiver: Option<&Endpoint>,
        by_node: bool,
        known: Option<&FlowEntry>,
        outcome: &mut Outcome,
    ) {
        match (outcome.verdict, known) {
            (Verdict::Drop(_), Some(entry)) => {
                let state = state_of(entry);
                if self.connection.is_confirmed() {
                    outcome.verdict = Verdict::Drop(DropReason::Revoked);
                    outcome.cut = !state.is(FlowState::TOMBSTONE);
                }
                entry.state.set(state.0 | FlowState::TOMBSTONE);
                self.mark_call(sender, FlowState::TOMBSTONE);
            }
            (Verdict::Drop(_), None) => {}
            (Verdict::Allow(_), Some(entry)) => {
                entry.renew(self.epoch, self.next(state_of(entry).flags() & !FlowState::TOMBSTONE));
                self.mark_call(sender, 0);
                self.admit(receiver);
            }
            (Verdict::Allow(_), None) => {
                // Of what concerns no pod of this node nothing is kept. One by one: a verifier takes no two pointers for one word.
                let concerns_pod = core::hint::black_box(sender.is_some()) || receiver.is_some();
                if concerns_pod && !self.packet.is_error {
                    let state = self.next(if by_node { FlowState::BY_NODE } else { 0 });
                    let entry = FlowEntry { epoch: Cell::new(self.epoch), state: Cell::new(state.0) };
                    outcome.untracked = !self.tables.insert_nat_flow(&self.ends, &entry);
                    self.admit(receiver);
                }
            }
        }
    }

    /// Enters the flow that a receiver's veth will see under the node's address, which says nothing about who calls.
    #[inline(always)]
    fn admit(&self, receiver: Option<&Endpoint>) {
        let Some(receiver) = receiver else { return };
        let (port, shown_port) = if self.is_icmp() {
            (self.ends.source_port(), 0)
        } else {
            (self.ends.destination_port(), self.connection.shown_port())
        };
        let local = (local_index(&self.ends.destination), port);
        let key = FlowKey::new(receiver.id, self.ends.protocol(), local, (self.connection.shown(), shown_port));
        if self.tables.flow(&key).is_some_and(|entry| self.stands(entry)) {
            return;
        }
        let flags = FlowState::BY_PEER | FlowState::AFTER_DNAT;
        let state = FlowState::new(self.now.wrapping_add(lifetime(flags, self.ends.protocol())), flags);
        let entry = FlowEntry { epoch: Cell::new(self.epoch), state: Cell::new(state.0) };
        // Without room the receiver's veth judges the node's address.
        let _entered = self.tables.insert_flow(&key, &entry);
    }

    #[inline(always)]
    fn stands(&self, entry: &FlowEntry) -> bool {
        let state = state_of(entry);
        state.is(FlowState::AFTER_DNAT) && !state.is(FlowState::TOMBSTONE) && is_alive(state.expires(), self.now)
    }

    /// Has the sender's veth know whether a call that it let pass was cut here: answers that nothing rewrites pass no
    /// judgement but its own.
    #[inline(always)]
    fn mark_call(&self, sender: Option<&Endpoint>, tombstone: u64) {
        let Some(sender) = sender else { return };
        if self.connection.is_rewritten() || self.is_icmp() {
            return;
        }
        let local = (local_index(&self.ends.source), self.ends.source_port());
        let remote = (self.ends.destination, self.ends.destination_port());
        if let Some(entry) = self.tables.flow(&FlowKey::new(sender.id, self.ends.protocol(), local, remote)) {
            entry.state.set(entry.state.get() & !FlowState::TOMBSTONE | tombstone);
        }
    }

    /// The flow's entry, unless it has expired.
    #[inline(always)]
    fn known(&self) -> Option<&FlowEntry> {
        let entry = self.tables.nat_flow(&self.ends)?;
        if is_alive(state_of(entry).expires(), self.now) { Some(entry) } else { None }
    }

    /// The state after one more packet.
    #[inline(always)]
    fn next(&self, flags: u64) -> FlowState {
        let flags = if self.packet.is_answer { flags | FlowState::ANSWERED } else { flags };
        FlowState::new(self.now.wrapping_add(lifetime(flags, self.ends.protocol())), flags)
    }

    /// Whether the node itself opened the flow. Of an answer: whether it is delivered there.
    #[inline(always)]
    fn is_by_node(&self, source: Peer, known: Option<&FlowEntry>) -> bool {
        if let Some(entry) = known
            && self.connection.is_confirmed()
        {
            return state_of(entry).is(FlowState::BY_NODE);
        }
        let from_here = if self.packet.is_answer { self.packet.is_local } else { self.packet.ingress_ifindex == 0 };
        from_here && matches!(source.kind(), PeerKind::OwnNode)
    }

    /// An address alone makes nobody the own node.
    #[inline(always)]
    const fn seen_by_receiver(&self, source: Peer, by_node: bool) -> Peer {
        match (by_node, source.kind()) {
            (true, _) => source.with_kind(PeerKind::OwnNode),
            (false, PeerKind::OwnNode) => source.with_kind(PeerKind::External),
            _ => source,
        }
    }

    /// True where the packet came in by the pod's veth or a bridge of pods, or was put together again on the node.
    #[inline(always)]
    fn came_from(&self, sender: &Endpoint) -> bool {
        let ifindex = self.packet.ingress_ifindex;
        ifindex == 0
            || ifindex == sender.ifindex
            || self.tables.interface(ifindex).is_some_and(|it| it.ifindex() == ifindex && it.is_bridge())
    }

    /// The local pod at the answering end, where its veth cannot see who calls.
    #[inline(always)]
    fn receiver(&self) -> Option<&Endpoint> {
        if self.connection.hides_opener() { self.local(&self.ends.destination) } else { None }
    }

    #[inline(always)]
    fn local(&self, address: &Address) -> Option<&Endpoint> {
        let endpoint = self.tables.endpoint(self.tables.local(address)?)?;
        if endpoint.id != 0 && endpoint.owns(address) { Some(endpoint) } else { None }
    }

    #[inline(always)]
    fn port(&self) -> PortKey {
        let protocol = self.ends.protocol();
        let port = if matches!(protocol, TCP | UDP | SCTP) { self.ends.destination_port() } else { 0 };
        PortKey::new(protocol, port)
    }

    #[inline(always)]
    fn is_icmp(&self) -> bool {
        matches!(self.ends.protocol(), ICMP | ICMPV6)
    }
}

#[inline(always)]
fn state_of(entry: &FlowEntry) -> FlowState {
    FlowState(entry.state.get())
}

#[inline(always)]
fn note(outcome: &mut Outcome, endpoint: &Endpoint, direction: Direction, judgement: Judgement) {
    outcome.endpoint = endpoint.id;
    outcome.direction = direction;
    outcome.verdict = judgement.verdict;
    outcome.rule = judgement.rule;
    if judgement.audited.is_some() {
        outcome.audited = judgement.audited;
    }
}
