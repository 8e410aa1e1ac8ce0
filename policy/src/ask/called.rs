//! A Service as the end that is called: judged by everything that is listed behind it, as the kernel programs do.

use std::net::IpAddr;
use std::sync::Arc;

use common::abi::{Direction, DropReason, Peer, PortKey, ServiceKey};

use super::end::{Party, Role};
use super::explain::{Explanation, Steps};
use super::record::{Answer, DirectionRecord, Said};
use super::steps::{Outcome, Step};
use super::{AskError, Change, End, Engine, FlowPort};
use crate::model::{ObjectRef, Service, ServicePort};

/// What a call comes to at one backend.
struct Reached {
    /// As people read it.
    backend: String,
    explanation: Explanation,
}

impl Engine<'_> {
    /// Explains a call of a Service at its own address: each of its ports, or the one that is asked about.
    ///
    /// # Errors
    /// There is no such Service or port, nothing leads to it, or the caller is not there.
    pub fn explain_call(
        &self,
        from: &End,
        namespace: &str,
        name: &str,
        asked: Option<FlowPort>,
    ) -> Result<Vec<Explanation>, AskError> {
        let key = (namespace.to_owned(), name.to_owned());
        let end = End::Service { namespace: key.0.clone(), name: key.1.clone() }.to_string();
        let service = self.world.services.get(&key).ok_or_else(|| AskError::NoSuchService(end.clone()))?;
        let callers = self.parties(from)?;
        let pairs = callers.iter().flat_map(|from| service.addresses().map(move |address| (from, address)));
        let (from, address) = pairs
            .filter(|(from, address)| from.address.is_ipv4() == address.is_ipv4())
            .min_by_key(|(from, _)| from.address.is_ipv6())
            .ok_or_else(|| AskError::NotCalled(end.clone()))?;
        let ports = service.ports.iter().map(|port| (port, FlowPort::Transport(port.protocol, port.port)));
        let called = ports.filter(|(_, port)| asked.is_none_or(|asked| asked == *port));
        let explained: Vec<Explanation> =
            called.map(|(port, flow)| self.explain_port(from, service, port, (&end, address, flow))).collect();
        if explained.is_empty() { Err(AskError::NotCalled(end)) } else { Ok(explained) }
    }

    fn explain_port(
        &self,
        from: &Party,
        service: &Service,
        port: &ServicePort,
        (name, address, flow): (&str, IpAddr, FlowPort),
    ) -> Explanation {
        let reached = self.backends(from, service, port, address);
        let to = Party { name: name.into(), address, role: Role::Outside, peer: Peer::SERVICE };
        let rule = ObjectRef::Service { namespace: service.namespace.clone(), name: service.name.clone() }.to_string();
        let directions = Direction::ALL.map(|direction| {
            let records = reached.iter().map(|it| match direction {
                Direction::Egress => it.explanation.record.egress.as_ref(),
                Direction::Ingress => it.explanation.record.ingress.as_ref(),
            });
            let all: Vec<&DirectionRecord> = records.collect();
            let unknown = || match direction {
                Direction::Egress => self.judge(direction, from, &to, flow).map(|judged| judged.record()),
                Direction::Ingress => None,
            };
            Arc::new(combined(&all, &rule).or_else(unknown).unwrap_or_else(DirectionRecord::not_judged))
        });
        let [egress, ingress] = directions;
        let mut change: Vec<Change> = Vec::new();
        for proposal in reached.iter().flat_map(|it| &it.explanation.change) {
            if !change.contains(proposal) {
                change.push(proposal.clone());
            }
        }
        let steps = Steps { egress: steps(&reached, Direction::Egress), ingress: steps(&reached, Direction::Ingress) };
        Explanation { record: Answer::of(egress, ingress).about(from, &to, flow), steps, change }
    }

    /// None where nobody can tell, as the programs have it.
    fn backends(&self, from: &Party, service: &Service, port: &ServicePort, address: IpAddr) -> Vec<Reached> {
        let tables = &self.compiled.desired.tables;
        let key = ServiceKey { address: address.into(), port: PortKey::new(port.protocol.number(), port.port) };
        if tables.services.get(&key).and_then(|lead| tables.backends.get(&lead.backends())).is_none() {
            return Vec::new();
        }
        let slices = self.world.endpoint_slices.values();
        let own = slices.filter(|it| it.namespace == service.namespace && it.service == service.name);
        let ends = own.flat_map(|slice| slice.ends(port)).filter(|end| end.address.is_ipv4() == address.is_ipv4());
        let reached = ends.map(|end| {
            let to = self.address_party(end.address);
            let flow = FlowPort::Transport(port.protocol, end.port);
            let backend = format!("{} ({}) at {} {}", to.name, to.address, flow.protocol(), flow.port());
            Reached { backend, explanation: self.explain_flow(from, &to, flow) }
        });
        reached.collect()
    }
}

/// One verdict where all agree on it; `None` where nothing is listed.
fn combined(all: &[&DirectionRecord], rule: &str) -> Option<DirectionRecord> {
    let first = all.first()?;
    if all.iter().all(|record| record.verdict == first.verdict) {
        return Some((*first).clone());
    }
    let (verdict, reason) = (Said::Drop, DropReason::ServiceUndecided.name());
    Some(DirectionRecord { verdict, reason, rules: vec![rule.to_owned()], audited: None })
}

/// Of one backend every step, of several what each comes to.
fn steps(reached: &[Reached], direction: Direction) -> Vec<Step> {
    let of = |it: &Reached| match direction {
        Direction::Egress => (Arc::clone(&it.explanation.record.egress), it.explanation.steps.egress.clone()),
        Direction::Ingress => (Arc::clone(&it.explanation.record.ingress), it.explanation.steps.ingress.clone()),
    };
    match reached {
        [] => vec![Step::new("backend", Outcome::Next, "nobody can tell what is behind it")],
        [only] => {
            let backend = Step::new("backend", Outcome::Next, format!("leads to {}", only.backend));
            [vec![backend], of(only).1].concat()
        }
        several => several
            .iter()
            .map(|it| {
                let record = of(it).0;
                let outcome = if record.verdict == Said::Allow { Outcome::Allow } else { Outcome::Drop };
                let says = format!("{}: {} ({})", it.backend, record.verdict.name(), record.reason);
                Step::new("backend", outcome, says).by(record.rules.clone())
            })
            .collect(),
    }
}
