//! Judgement of what the node has rewritten, under its true ends (DESIGN.md §6), and of calls that a veth let pass because
//! the node was to rewrite them.
//!
//! The kernel's conntrack tells the true ends of a packet and who opened its flow. Both directions are judged as the
//! opener's, so that an entry that is lost costs a judgement and never breaks or opens a flow.

mod connection;
mod judge;
mod settle;

pub use connection::Connection;

use super::service::Remote;
use super::tables::{Tables, peer_of};
use super::timeouts::{is_alive, lifetime, worth_writing};
use super::{Outcome, Verdict};
use crate::abi::{
    Address, AllowReason, Direction, Endpoint, FlowEntry, FlowState, NatKey, Peer, PeerKind, PortKey, Ticks, ticks,
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

/// Whether a packet passes a netfilter hook without a judgement, because its connection was allowed and still holds.
/// `epoch` is read before anything is looked up.
#[inline(always)]
pub fn holds_after_dnat<T: Tables>(tables: &T, connection: &Connection, packet: &Passage, epoch: u64) -> bool {
    Flow::new(tables, connection, packet, epoch).pass_on()
}

/// Whether a pod's veth may have let this first packet of a connection that nothing rewrites pass: the mark on it does not
/// survive every program behind ours.
#[inline(always)]
pub fn went_undecided<T: Tables>(tables: &T, connection: &Connection, packet: &Passage) -> bool {
    let flow = Flow::new(tables, connection, packet, 0);
    flow.local(&flow.ends.source).is_some() && is_rewritten_here(tables.remote(&flow.ends.destination, flow.port()))
}

/// Judges the opener's end of a connection that does not hold, if it is a pod of this node. `outcome` is overwritten. True
/// where the receiver is to be judged next ([`judge_receiver`]), and then the outcome is settled ([`settle_after_dnat`]).
/// The programs make functions of all three: the frames of functions that call each other share 512 bytes of stack.
#[inline(always)]
pub fn judge_sender<T: Tables>(tables: &T, connection: &Connection, packet: &Passage, outcome: &mut Outcome) -> bool {
    *outcome = Outcome::of(Direction::Egress, 0);
    outcome.verdict = Verdict::Allow(AllowReason::Unmanaged);
    Flow::new(tables, connection, packet, 0).judge_sender(outcome)
}

/// Judges the answering end, if it is a pod of this node and its veth cannot see who calls. True where it is.
#[inline(always)]
pub fn judge_receiver<T: Tables>(
    tables: &T,
    connection: &Connection,
    packet: &Passage,
    epoch: u64,
    outcome: &mut Outcome,
) -> bool {
    Flow::new(tables, connection, packet, epoch).judge_receiver(outcome)
}

/// Turns the judgement in `outcome` into a verdict on the packet and its connection.
#[inline(always)]
pub fn settle_after_dnat<T: Tables>(
    tables: &T,
    connection: &Connection,
    packet: &Passage,
    epoch: u64,
    outcome: &mut Outcome,
) {
    let flow = Flow::new(tables, connection, packet, epoch);
    let known = flow.known();
    let (sender, receiver) = (flow.local(&flow.ends.source), flow.receiver());
    let by_node = flow.is_by_node(peer_of(tables, &flow.ends.source), known);
    flow.settle(sender, receiver, by_node, known, outcome);
}

/// A pod of this node.
#[derive(Clone, Copy)]
struct Local<'a> {
    /// Number of its record.
    slot: u32,
    endpoint: &'a Endpoint,
}

impl<'a, T: Tables> Flow<'a, T> {
    #[inline(always)]
    fn new(tables: &'a T, connection: &'a Connection, packet: &'a Passage, epoch: u64) -> Self {
        Self { tables, connection, packet, ends: connection.ends(), epoch, now: ticks(tables.time()) }
    }

    /// Lets a packet of a connection that holds pass, and notes it.
    #[inline(always)]
    fn pass_on(&self) -> bool {
        let Some(entry) = self.known() else { return false };
        let state = state_of(entry);
        if !self.connection.is_confirmed() || entry.epoch.get() != self.epoch || state.is(FlowState::TOMBSTONE) {
            return false;
        }
        let after = self.next(state.flags());
        if !self.packet.is_error && worth_writing(state, after) {
            // The receiver's veth sees another flow, which must not expire before this one.
            if self.connection.hides_opener() {
                return false;
            }
            entry.state.set(after.0);
        }
        true
    }

    /// The flow's entry, unless it has expired.
    #[inline(always)]
    fn known(&self) -> Option<&FlowEntry> {
        let entry = self.tables.nat_flow(&self.ends)?;
        if is_alive(state_of(entry).expires(), self.now) { Some(entry) } else { None }
    }

    /// The state after one more packet. The entry outlives those of the veths, which tell questions from streams.
    #[inline(always)]
    fn next(&self, flags: u64) -> FlowState {
        const ANSWERED: u64 = FlowState::ANSWERED | FlowState::STREAM;
        let flags = if self.packet.is_answer { flags | ANSWERED } else { flags };
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
    fn receiver(&self) -> Option<Local<'_>> {
        if self.connection.hides_opener() { self.local(&self.ends.destination) } else { None }
    }

    #[inline(always)]
    fn local(&self, address: &Address) -> Option<Local<'_>> {
        let slot = self.tables.local(address)?;
        let endpoint = self.tables.endpoint(slot)?;
        if endpoint.id != 0 && endpoint.owns(address) { Some(Local { slot, endpoint }) } else { None }
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
