//! Every ordered pair of ends, each port.

use std::net::IpAddr;

use serde::Serialize;

use super::end::Party;
use super::record::Record;
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

/// The answer: by source, destination, address family and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind")]
pub struct Matrix {
    pub verdicts: Vec<Record>,
}

impl Engine<'_> {
    /// Every ordered pair of pods, and of a pod and an external address, whose addresses are of one family.
    ///
    /// # Errors
    /// An external address that is a pod's: the pod is in the matrix by its name.
    pub fn matrix(&self, query: &MatrixQuery) -> Result<Matrix, AskError> {
        let ports = if query.ports.is_empty() { FlowPort::mentioned(self.world) } else { query.ports.clone() };
        let mut parties = self.all_pods();
        let pods = parties.len();
        for address in &query.externals {
            let party = self.parties(&End::Address(*address))?;
            if let Some(key) = party.iter().find_map(Party::pod) {
                return Err(AskError::NotExternal { address: *address, pod: key.clone() });
            }
            parties.extend(party);
        }
        let mut verdicts = Vec::new();
        for (source, from) in parties.iter().enumerate() {
            for (destination, to) in parties.iter().enumerate() {
                let externals = source >= pods && destination >= pods;
                if !externals && from.same_family(to) && is_asked(query, from, to) {
                    verdicts.extend(ports.iter().map(|port| self.ask(from, to, *port)));
                }
            }
        }
        Ok(Matrix { verdicts })
    }
}

fn is_asked(query: &MatrixQuery, from: &Party, to: &Party) -> bool {
    let Some(namespace) = &query.namespace else { return true };
    let inside = |party: &Party| party.name.split_once('/').is_some_and(|(own, _)| own == namespace);
    inside(from) || inside(to)
}
