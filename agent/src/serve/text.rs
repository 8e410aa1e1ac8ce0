//! The answers as people read them.

use std::net::IpAddr;
use std::time::Duration;

use super::answers::CounterEntry;
use super::health::missing;
use super::tenants::TenantEntry;
use crate::kernel::Rewriting;
use crate::node::{EndpointState, EndpointStatus, Enforcement, Publication, Status};
use crate::text::columns;

/// What a newcomer to a node asks first.
pub(super) fn status(status: &Status) -> String {
    let enforcement = match &status.enforcement {
        Enforcement::AwaitingSync { .. } => "waiting; what was enforced before still is".to_owned(),
        Enforcement::Enforcing => "enforcing".to_owned(),
        Enforcement::Stale { since } => format!("enforcing the last world: the API server is silent since {since}"),
    };
    let rewriting = match &status.rewriting {
        Rewriting::AfterDnat => "judged as what calls become".to_owned(),
        Rewriting::AtVeth { because } => {
            format!("judged at the pod's veth, not behind the node's rewriting: {because}")
        }
    };
    let endpoints = EndpointState::ALL.map(|state| format!("{} {}", status.count(state), state.name())).join(", ");
    let policies = status.policies.iter().map(|count| match count.rejected {
        0 => format!("{} {}", count.enforced, count.kind),
        rejected => {
            format!(
                "{} {} and {rejected} that cannot be understood or do not fit, and fail closed",
                count.enforced, count.kind
            )
        }
    });
    let rows = [
        ["node", status.node.as_str()],
        ["state", &enforcement],
        ["services", &rewriting],
        ["endpoints", &endpoints],
        ["policies", &policies.collect::<Vec<_>>().join(", ")],
        ["last change", &status.publication.as_ref().map(publication).unwrap_or_default()],
        ["drift repaired", &status.drift_repaired.to_string()],
    ];
    let mut text = columns(&rows.map(|row| row.map(str::to_owned)));
    for (head, lines) in [("missing", missing(status)), ("found", status.findings.clone())] {
        text.extend(lines.into_iter().map(|line| format!("{head}: {line}\n")));
    }
    text
}

fn publication(publication: &Publication) -> String {
    let Publication { at, operations, compile, apply, .. } = publication;
    format!("{at}: {operations} operations, compiled in {}, written in {}", short(*compile), short(*apply))
}

pub(super) fn endpoints(endpoints: &[EndpointStatus]) -> String {
    let heads = ["POD", "TENANT", "STATE", "VETH", "ADDRESSES", "ATTACHED IN", "PROBLEM"].map(str::to_owned);
    let row = |endpoint: &EndpointStatus| {
        [
            endpoint.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
            endpoint.tenant.clone().unwrap_or_default(),
            endpoint.state.name().to_owned(),
            endpoint.veth.clone(),
            endpoint.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            endpoint.attach_delay.map(short).unwrap_or_default(),
            endpoint.problem.clone().unwrap_or_default(),
        ]
    };
    columns(&std::iter::once(heads).chain(endpoints.iter().map(row)).collect::<Vec<_>>())
}

pub(super) fn tenants(tenants: &[TenantEntry]) -> String {
    let heads = ["TENANT", "MODE", "NAMESPACES", "PODS", "ON THIS NODE", "PACKETS DROPPED"].map(str::to_owned);
    let row = |entry: &TenantEntry| {
        [
            entry.tenant.clone(),
            entry.mode.clone(),
            entry.namespaces.len().to_string(),
            entry.pods.to_string(),
            entry.endpoints.to_string(),
            entry.dropped_packets.to_string(),
        ]
    };
    columns(&std::iter::once(heads).chain(tenants.iter().map(row)).collect::<Vec<_>>())
}

pub(super) fn counters(counters: &[CounterEntry]) -> String {
    let heads = ["FROM TENANT", "TO TENANT", "DIRECTION", "REASON", "PACKETS", "BYTES"].map(str::to_owned);
    let row = |entry: &CounterEntry| {
        let audited = if entry.audited { " (audited)" } else { "" };
        [
            entry.source_tenant.clone(),
            entry.destination_tenant.clone(),
            entry.direction.clone(),
            format!("{}{audited}", entry.reason),
            entry.packets.to_string(),
            entry.bytes.to_string(),
        ]
    };
    columns(&std::iter::once(heads).chain(counters.iter().map(row)).collect::<Vec<_>>())
}

/// To three figures or so.
fn short(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ ..1000 => format!("{micros} µs"),
        micros @ ..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}
