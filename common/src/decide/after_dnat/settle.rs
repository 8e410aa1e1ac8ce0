//! What remains of a judgement: the connection's entry, and the flows that the veths at its ends see.

use core::cell::Cell;

use super::{Flow, Local, state_of};
use crate::abi::{DropReason, FlowEntry, FlowKey, FlowState};
use crate::decide::tables::Tables;
use crate::decide::timeouts::{is_alive, lifetime};
use crate::decide::track::{enter, local_index};
use crate::decide::{Outcome, Verdict};

impl<T: Tables> Flow<'_, T> {
    /// Turns a judgement into a verdict on the packet and its flow.
    #[inline(always)]
    pub(super) fn settle(
        &self,
        sender: Option<Local<'_>>,
        receiver: Option<Local<'_>>,
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
    fn admit(&self, receiver: Option<Local<'_>>) {
        let Some(Local { slot, endpoint: receiver }) = receiver else { return };
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
        let _entered = enter(self.tables, slot, &key, &entry);
    }

    #[inline(always)]
    fn stands(&self, entry: &FlowEntry) -> bool {
        let state = state_of(entry);
        state.is(FlowState::AFTER_DNAT) && !state.is(FlowState::TOMBSTONE) && is_alive(state.expires(), self.now)
    }

    /// Has the sender's veth know whether a call that it let pass was cut here: answers that nothing rewrites pass no
    /// judgement but its own.
    #[inline(always)]
    fn mark_call(&self, sender: Option<Local<'_>>, tombstone: u64) {
        let Some(Local { endpoint: sender, .. }) = sender else { return };
        if self.connection.is_rewritten() || self.is_icmp() {
            return;
        }
        let local = (local_index(&self.ends.source), self.ends.source_port());
        let remote = (self.ends.destination, self.ends.destination_port());
        if let Some(entry) = self.tables.flow(&FlowKey::new(sender.id, self.ends.protocol(), local, remote)) {
            entry.state.set(entry.state.get() & !FlowState::TOMBSTONE | tombstone);
        }
    }
}
