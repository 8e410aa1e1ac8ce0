//! Every ordered pair of ends, each port.

use std::net::IpAddr;

use super::end::Party;
use super::engine::is_self;
use super::record::Record;
use super::rows::{Group, Groups, Rows, TO_ITSELF};
use super::{AskError, End, Engine, FlowPort};

/// Which verdicts are asked for.
#[derive(Clone, Debug, Default)]
pub struct MatrixQuery {
    /// Empty: [`FlowPort::mentioned`].
    pub ports: Vec<FlowPort>,
    /// Addresses that are asked about beside the pods, as source and as destination.
    pub externals: Vec<IpAddr>,
    /// Only flows with a pod of this namespace at one end or both.
    pub namespace: Option<String>,
}

/// The flows that were asked about. What holds for each of them is found out when it is read: a thousand pods have
/// millions of flows.
pub struct Matrix<'e> {
    engine: &'e Engine<'e>,
    /// Pods, then externals.
    parties: Vec<Party>,
    pods: usize,
    groups: Groups,
    ports: Vec<FlowPort>,
    namespace: Option<String>,
}

impl std::fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrix").field("parties", &self.parties).field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl<'a> Engine<'a> {
    /// Every ordered pair of pods, and of a pod and an external address, whose addresses are of one family.
    ///
    /// # Errors
    /// An external address that is a pod's: the pod is in the matrix by its name.
    pub fn matrix(&self, query: &MatrixQuery) -> Result<Matrix<'_>, AskError> {
        self.matrix_of(self.all_pods(), query)
    }

    /// The same for some of the pods' parties.
    pub(super) fn matrix_of(&self, mut parties: Vec<Party>, query: &MatrixQuery) -> Result<Matrix<'_>, AskError> {
        let ports = if query.ports.is_empty() { FlowPort::mentioned(self.world) } else { query.ports.clone() };
        let pods = parties.len();
        for address in &query.externals {
            let party = self.parties(&End::Address(*address))?;
            if let Some(key) = party.iter().find_map(Party::pod) {
                return Err(AskError::NotExternal { address: *address, pod: key.clone() });
            }
            parties.extend(party);
        }
        let groups = Groups::new(self, &parties);
        Ok(Matrix { engine: self, parties, pods, groups, ports, namespace: query.namespace.clone() })
    }
}

impl Matrix<'_> {
    /// Every end of the flows, one for each of its addresses.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    #[must_use]
    pub fn ports(&self) -> &[FlowPort] {
        &self.ports
    }

    /// For each of [`Matrix::parties`] a number: ends with the same number are judged alike by everybody, and judge alike.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups.of
    }

    /// The verdicts, by source, destination, address family and port.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let mut rows = self.rows();
        (0..self.parties.len()).flat_map(move |source| self.of_source(&mut rows, source))
    }

    fn of_source(&self, rows: &mut Rows<'_>, source: usize) -> Vec<Record> {
        let from = &self.parties[source];
        let row = rows.of(self.groups.of[source]);
        let mut records = Vec::new();
        for destination in self.destinations(source) {
            let to = &self.parties[destination];
            let answers = self.answers(&row, source, destination);
            records.extend(answers.map(|(port, answer)| rows.answer(answer).about(from, to, port)));
        }
        records
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows::new(self.engine, &self.parties, &self.groups, &self.ports)
    }

    /// The ends that are asked about as destinations of one.
    pub(super) fn destinations(&self, source: usize) -> impl Iterator<Item = usize> + '_ {
        let from = &self.parties[source];
        (0..self.parties.len()).filter(move |&destination| {
            let to = &self.parties[destination];
            let externals = source >= self.pods && destination >= self.pods;
            !externals && from.same_family(to) && self.is_asked(from, to)
        })
    }

    /// The numbers of the answers about one pair, port by port. `row`: what [`Rows::of`] says of the source's group.
    pub(super) fn answers<'m>(
        &'m self,
        row: &'m [u32],
        source: usize,
        destination: usize,
    ) -> impl Iterator<Item = (FlowPort, u32)> + 'm {
        let itself = is_self(&self.parties[source], &self.parties[destination]);
        let start = self.groups.of[destination] * self.ports.len();
        let answers = &row[start..start + self.ports.len()];
        self.ports.iter().zip(answers).map(move |(port, answer)| (*port, if itself { TO_ITSELF } else { *answer }))
    }

    fn is_asked(&self, from: &Party, to: &Party) -> bool {
        let Some(namespace) = &self.namespace else { return true };
        let inside = |party: &Party| party.name.split_once('/').is_some_and(|(own, _)| own == namespace);
        inside(from) || inside(to)
    }
}
