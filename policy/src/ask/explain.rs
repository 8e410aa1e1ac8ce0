//! One flow, with every step of its judgement.

use common::abi::Direction;
use serde::Serialize;

use super::change::{Change, Dropped};
use super::end::Party;
use super::engine::is_self;
use super::record::Record;
use super::steps::{Outcome, Step, steps};
use super::{AskError, End, Engine, FlowPort};

/// The record of a flow, how it came about and, where it drops, what would have to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    #[serde(flatten)]
    pub record: Record,
    pub steps: Steps,
    /// None where the flow passes.
    pub change: Vec<Change>,
}

/// The steps of each direction, up to the one that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Steps {
    pub egress: Vec<Step>,
    pub ingress: Vec<Step>,
}

impl Engine<'_> {
    /// Explains a flow between two ends: over IPv4 where both have it.
    ///
    /// # Errors
    /// An end that is not there, or two without a common family.
    pub fn explain(&self, from: &End, to: &End, port: FlowPort) -> Result<Explanation, AskError> {
        let (sources, destinations) = (self.parties(from)?, self.parties(to)?);
        let pairs = sources.iter().flat_map(|from| destinations.iter().map(move |to| (from, to)));
        let (from, to) = pairs
            .filter(|(from, to)| from.same_family(to))
            .min_by_key(|(from, _)| from.address.is_ipv6())
            .ok_or_else(|| AskError::OtherFamily { from: from.to_string(), to: to.to_string() })?;
        Ok(self.explain_flow(from, to, port))
    }

    pub(super) fn explain_flow(&self, from: &Party, to: &Party, port: FlowPort) -> Explanation {
        let (egress, mut change) = self.walk(Direction::Egress, from, to, port);
        let (ingress, more) = self.walk(Direction::Ingress, from, to, port);
        change.extend(more);
        Explanation { record: self.ask(from, to, port), steps: Steps { egress, ingress }, change }
    }

    fn walk(&self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> (Vec<Step>, Vec<Change>) {
        if is_self(from, to) {
            return (vec![Step::new("same_pod", Outcome::Allow, "a pod reaches itself")], Vec::new());
        }
        let (own, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let Some(judged) = self.judge(direction, from, to, port) else {
            let says = format!("{} is no pod with an interface of its own", own.name);
            return (vec![Step::new("not_judged", Outcome::Allow, says)], Vec::new());
        };
        let change = self.changes(&Dropped { judged: &judged, own, other, port });
        (steps(&judged), change)
    }

    /// The port to explain where none is named: the first that the destination declares, or else TCP 80.
    #[must_use]
    pub fn usual_port(&self, to: &End) -> FlowPort {
        let pod = match to {
            End::Pod(key) => self.world.pods.get(key),
            End::Address(_) | End::Node(_) | End::Service { .. } => None,
        };
        let declared = pod.and_then(|pod| pod.ports.first());
        declared.map_or(FlowPort::Transport(crate::model::Protocol::Tcp, 80), |port| {
            FlowPort::Transport(port.protocol, port.port)
        })
    }
}
