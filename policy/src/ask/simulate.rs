//! Which verdicts a change of the world would change.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::end::Party;
use super::matrix::{Matrix, MatrixQuery};
use super::record::{Record, Said};
use super::{AskError, Engine, FlowPort};

/// A flow whose verdict would be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub before: Said,
    pub after: Record,
}

/// The flow, both verdicts, and what would decide.
impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { from, from_ip, to, to_ip, protocol, port, verdict, egress, ingress, .. } = &self.after;
        let mut fields = serializer.serialize_struct("Difference", 10)?;
        fields.serialize_field("from", &**from)?;
        fields.serialize_field("fromIP", from_ip)?;
        fields.serialize_field("to", &**to)?;
        fields.serialize_field("toIP", to_ip)?;
        fields.serialize_field("protocol", protocol)?;
        fields.serialize_field("port", port)?;
        fields.serialize_field("before", &self.before)?;
        fields.serialize_field("after", verdict)?;
        fields.serialize_field("egress", &**egress)?;
        fields.serialize_field("ingress", &**ingress)?;
        fields.end()
    }
}

/// Two worlds, and the flows that both have.
#[derive(Debug)]
pub struct Simulation<'e> {
    before: Matrix<'e>,
    after: Matrix<'e>,
    /// Pods that only the world after the change has.
    pub come: Vec<Arc<str>>,
    /// Pods that only the world before it has.
    pub gone: Vec<Arc<str>>,
}

impl<'e> Simulation<'e> {
    /// A pod with another address is another pod: its flows have no verdict that could change. Without ports in the
    /// query those that [`FlowPort::mentioned`] finds in either world are asked about.
    ///
    /// # Errors
    /// An external address that is a pod's in one of the worlds.
    pub fn new(before: &'e Engine<'e>, after: &'e Engine<'e>, query: &MatrixQuery) -> Result<Self, AskError> {
        let mut ports: BTreeSet<FlowPort> = query.ports.iter().copied().collect();
        if ports.is_empty() {
            ports = [before, after].iter().flat_map(|engine| FlowPort::mentioned(engine.world)).collect();
        }
        let ports: Vec<FlowPort> = ports.into_iter().collect();
        let (old, new) = (before.all_pods(), after.all_pods());
        let (come, gone) = (only_in(&new, &old), only_in(&old, &new));
        let side = |engine: &'e Engine<'e>, pods: &[Party], others: &[Party]| {
            let others: BTreeSet<_> = others.iter().map(identity).collect();
            let both = pods.iter().filter(|party| others.contains(&identity(party))).cloned().collect();
            engine.matrix_of(both, &MatrixQuery { ports: ports.clone(), ..query.clone() })
        };
        Ok(Self { before: side(before, &old, &new)?, after: side(after, &new, &old)?, come, gone })
    }

    /// True where some pods have IPv4 and some IPv6.
    #[must_use]
    pub fn has_both_families(&self) -> bool {
        let has = |v4: bool| self.before.parties().iter().any(|party| party.address.is_ipv4() == v4);
        has(true) && has(false)
    }

    /// By source, destination, address family and port.
    pub fn differences(&self) -> impl Iterator<Item = Difference> + '_ {
        let (mut before, mut after) = (self.before.rows(), self.after.rows());
        (0..self.before.parties().len()).flat_map(move |source| {
            let rows = [before.of(self.before.groups()[source]), after.of(self.after.groups()[source])];
            let parties = self.after.parties();
            let mut differences = Vec::new();
            for destination in self.before.destinations(source) {
                let old = self.before.answers(&rows[0], source, destination);
                let new = self.after.answers(&rows[1], source, destination);
                for ((port, old), (_, new)) in old.zip(new) {
                    let (old, new) = (before.answer(old).verdict, after.answer(new));
                    if old != new.verdict {
                        let after = new.about(&parties[source], &parties[destination], port);
                        differences.push(Difference { before: old, after });
                    }
                }
            }
            differences
        })
    }
}

fn identity(party: &Party) -> (&str, IpAddr) {
    (&party.name, party.address)
}

/// The pods that one side has and the other has not, or not with these addresses.
fn only_in(parties: &[Party], others: &[Party]) -> Vec<Arc<str>> {
    let others: BTreeSet<_> = others.iter().map(identity).collect();
    let mut names: Vec<Arc<str>> = parties
        .iter()
        .filter(|party| !others.contains(&identity(party)))
        .map(|party| Arc::clone(&party.name))
        .collect();
    names.dedup();
    names
}
