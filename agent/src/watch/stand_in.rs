//! Stand-ins for objects over their owner's share: the least that policy must know, and all of it stricter.

use policy::model::{EndpointSlice, InvalidPolicy, Labels, Operator, Selector, Service, ServicePort, TargetPort};
use serde_json::Value;

use super::entry::PIECE;
use super::fields::{BELONGING, ISOLATION};
use super::live::Key;
use crate::ingest::{self, Kind, Live};

/// Longest podSelector, in bytes of JSON, that is kept once its policy is over its share. With a longer one the policy
/// isolates all pods.
const SUBJECT: usize = 2 << 10;

/// What is kept of a Service over its share: everything that nodes rewrite. None where that is nothing.
pub(super) fn undecided_service(service: Service) -> Option<Service> {
    let port = |port: ServicePort| ServicePort { name: String::new(), target: TargetPort::Number(port.port), ..port };
    let ports = service.ports.into_iter().map(port).collect();
    let kept = Service { selector: Labels::default(), is_undecided: true, ports, ..service };
    (kept.is_rewritten(true) || kept.is_rewritten(false)).then_some(kept)
}

/// What is kept of a slice over its share: that its Service has one.
pub(super) fn undecided_slice(key: &Key, service: String) -> EndpointSlice {
    let Key { namespace, name } = key.clone();
    EndpointSlice { namespace, name, service, is_undecided: true, ..EndpointSlice::default() }
}

/// The Service of a slice that is too large to be read: its labels are read alone.
pub(super) fn belonging(text: &[u8]) -> String {
    let head = BELONGING.text(&mut serde_json::Deserializer::from_slice(text)).unwrap_or_default();
    let head: Value = serde_json::from_slice(&head).unwrap_or_default();
    let slice = match ingest::convert_live(Kind::EndpointSlice, head) {
        Ok(live) => live,
        Err(refused) => refused.stand_in,
    };
    if let Some(Live::EndpointSlice(slice)) = slice { slice.service } else { String::new() }
}

/// What stands in for a policy that is too large to be read: its podSelector and its policyTypes are read alone.
pub(super) fn isolation(key: &Key, text: &[u8]) -> InvalidPolicy {
    let head = ISOLATION.text(&mut serde_json::Deserializer::from_slice(text));
    let head = head.ok().filter(|head| head.len() <= SUBJECT);
    let head: Value = head.and_then(|head| serde_json::from_slice(&head).ok()).unwrap_or_default();
    let has_types = head["spec"]["policyTypes"].as_array().is_some_and(|types| !types.is_empty());
    match ingest::convert_live(Kind::NetworkPolicy, head) {
        Ok(Some(Live::NetworkPolicy(policy))) if has_types => {
            over(key, policy.subject, policy.ingress.is_some(), policy.egress.is_some())
        }
        _ => over(key, Selector::default(), true, true),
    }
}

pub(super) fn over(key: &Key, subject: Selector, isolates_ingress: bool, isolates_egress: bool) -> InvalidPolicy {
    let subject = if size(&subject) > SUBJECT { Selector::default() } else { subject };
    let Key { namespace, name } = key.clone();
    InvalidPolicy { namespace, name, subject, isolates_ingress, isolates_egress, over_share: true }
}

/// Bytes of a selector.
fn size(selector: &Selector) -> usize {
    let values = |operator: &Operator| match operator {
        Operator::In(values) | Operator::NotIn(values) => values.iter().map(|it| it.len() + PIECE).sum(),
        Operator::Exists | Operator::DoesNotExist => 0,
    };
    selector.requirements.iter().map(|it| it.key.len() + PIECE + values(&it.operator)).sum()
}
