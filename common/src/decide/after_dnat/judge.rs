//! The judgement of a connection under its true ends.

use super::{Flow, Local};
use crate::abi::{Direction, DropReason, Endpoint, Peer, PeerKind};
use crate::decide::judge::{Judgement, Question, foreign};
use crate::decide::receiver::as_receiver_sees;
use crate::decide::service::{Call, MaybeService};
use crate::decide::tables::{Tables, judge_call, peer_of};
use crate::decide::{Outcome, Verdict, tunnel};

impl<T: Tables> Flow<'_, T> {
    #[inline(always)]
    pub(super) fn judge_sender(&self, outcome: &mut Outcome) -> bool {
        let destination = peer_of(self.tables, &self.ends.destination);
        outcome.source_tenant = peer_of(self.tables, &self.ends.source).tenant();
        outcome.destination_tenant = destination.tenant();
        let Some(sender) = self.local(&self.ends.source) else { return self.judge_transit(destination, outcome) };
        let judgement = self.judge_opener(sender, destination);
        note(outcome, sender.endpoint, Direction::Egress, judgement);
        if let (Verdict::Drop(_), Some(_)) = (judgement.verdict, judgement.refused) {
            outcome.direction = Direction::Ingress;
        }
        judgement.is_allow() && !sender.endpoint.owns(&self.ends.destination)
    }

    /// The receiver's part in a call between pods of other nodes, where its node will see this one as who calls: tenancy.
    /// The veth of the caller has not always done it, because nobody may have told that the address is a node's.
    #[inline(always)]
    fn judge_transit(&self, destination: Peer, outcome: &mut Outcome) -> bool {
        let is_hidden = self.connection.hides_opener() && matches!(destination.kind(), PeerKind::Pod);
        if !is_hidden || !destination.is_closed() {
            return true;
        }
        let source = peer_of(self.tables, &self.ends.source);
        let Some(reason) = foreign(destination.tenant(), source) else { return true };
        outcome.direction = Direction::Ingress;
        outcome.verdict = Verdict::Drop(reason);
        false
    }

    #[inline(always)]
    pub(super) fn judge_receiver(&self, outcome: &mut Outcome) -> bool {
        let Some(receiver) = self.receiver() else { return false };
        let source = peer_of(self.tables, &self.ends.source);
        let source = as_receiver_sees(source, self.is_by_node(source, self.known()));
        let judgement = self.judge_at(receiver.endpoint, Direction::Ingress, source);
        note(outcome, receiver.endpoint, Direction::Ingress, judgement);
        true
    }

    #[inline(always)]
    fn judge_opener(&self, Local { slot, endpoint }: Local<'_>, destination: Peer) -> Judgement {
        if !self.packet.is_answer && !self.came_from(endpoint) {
            return Judgement::dropped(DropReason::SpoofedSource);
        }
        if endpoint.owns(&self.ends.destination) {
            return Judgement::of_itself();
        }
        if tunnel::is_refused(self.tables, self.port(), destination) {
            return Judgement::dropped(DropReason::Tunnel);
        }
        // What the node takes at an address of its own goes to the node. Any other may be rewritten where it arrives: here
        // nothing has rewritten the call yet, and what leaves for another node may be rewritten there again (a node port,
        // a pod's address that a Service claims). A process of the node may answer for a Service (NodeLocal DNS), nobody
        // else: what leaves for an address of the service range has no end that anybody knows.
        let end = self.tables.remote(&self.ends.destination, self.port());
        if matches!(end.peer.kind(), PeerKind::Service) && !self.packet.is_local {
            return Judgement::dropped(DropReason::ServiceUndecided);
        }
        let arrives_here = match end.peer.kind() {
            PeerKind::OwnNode => self.packet.is_local,
            PeerKind::LocalPod => self.connection.is_rewritten(),
            PeerKind::External | PeerKind::Pod | PeerKind::OtherNode | PeerKind::UnknownPod | PeerKind::Service => {
                false
            }
        };
        if end.service != MaybeService::NONE && !arrives_here {
            let call = Call { end, port: self.port(), opened: true };
            return judge_call(self.tables, (slot, endpoint), &call).judgement;
        }
        self.judge_at(endpoint, Direction::Egress, destination).with_refusal()
    }

    #[inline(always)]
    fn judge_at(&self, endpoint: &Endpoint, direction: Direction, peer: Peer) -> Judgement {
        if endpoint.awaits(peer) {
            return Judgement::dropped(DropReason::NotReady);
        }
        self.tables.judge(endpoint.profile, &Question::new(direction, peer, self.port()))
    }
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
