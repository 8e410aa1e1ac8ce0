//! What would have to change for a dropped flow to pass.

use common::abi::{Direction, DropReason};
use common::decide::Verdict;

use super::end::Party;
use super::engine::{Engine, Judged};
use super::port::FlowPort;
use crate::model::Labels;
use crate::model::tenants::{Finding, ISOLATION_ANNOTATION};

/// A dropped direction: who was judged, who is at the other end, on which port.
pub(super) struct Dropped<'d> {
    pub judged: &'d Judged<'d>,
    pub own: &'d Party,
    pub other: &'d Party,
    pub port: FlowPort,
}

impl Engine<'_> {
    /// One sentence for each thing that would let the flow pass in this direction; nothing where it passes.
    pub(super) fn changes(&self, dropped: &Dropped<'_>) -> Vec<String> {
        let Verdict::Drop(reason) = dropped.judged.judgement.verdict else { return Vec::new() };
        match reason {
            DropReason::TenantIsolation => self.past_isolation(dropped),
            DropReason::Quarantine => self.out_of_quarantine(dropped),
            DropReason::DefaultDeny => vec![self.new_rule(dropped)],
            DropReason::UnknownEndpoint => vec![format!(
                "No known pod owns {}, an address in a pod range: add that pod, or correct the Nodes' podCIDRs or \
                 cluster.podCIDRs in the configuration.",
                dropped.other.address
            )],
            DropReason::ClusterPolicy => vec![format!(
                "Add an Accept rule before {}, or take that rule out.",
                dropped.judged.record().rules.join(", ")
            )],
            DropReason::InvalidPolicy => {
                vec![format!("Correct {}.", dropped.judged.record().rules.join(", "))]
            }
            DropReason::SpoofedSource
            | DropReason::Tunnel
            | DropReason::WrongDestination
            | DropReason::NotReady
            | DropReason::Revoked
            | DropReason::Malformed
            | DropReason::Fragment
            | DropReason::UnsupportedProtocol
            | DropReason::ServiceUndecided
            | DropReason::Capacity => Vec::new(),
        }
    }

    fn past_isolation(&self, dropped: &Dropped<'_>) -> Vec<String> {
        let tenant = self.tenant(dropped.own).unwrap_or_default();
        let strict = dropped.judged.profile.mode() == common::abi::Mode::Strict;
        if strict {
            return vec![format!(
                "Tenant {tenant} is strict, so no NetworkPolicy can allow it: relax its annotation \
                 {ISOLATION_ANNOTATION} (or the annotation of namespace {}, or tenancy.mode) to baseline or off.",
                namespace(dropped.own)
            )];
        }
        vec![
            self.new_rule(dropped),
            format!("Or turn off the isolation of tenant {tenant}: {ISOLATION_ANNOTATION}: \"off\" on its Tenant."),
        ]
    }

    fn out_of_quarantine(&self, dropped: &Dropped<'_>) -> Vec<String> {
        let ends = [namespace(dropped.own), namespace(dropped.other)];
        let concerns = |finding: &&Finding| match finding {
            Finding::Quarantine { namespace, .. } => ends.contains(&namespace.as_str()),
            Finding::UnknownMode { .. } => false,
        };
        self.findings().iter().filter(concerns).map(|finding| format!("{finding}.")).collect()
    }

    /// The rule of a NetworkPolicy that would allow the flow.
    fn new_rule(&self, dropped: &Dropped<'_>) -> String {
        let direction = dropped.judged.question.direction;
        let side = match direction {
            Direction::Egress => "to",
            Direction::Ingress => "from",
        };
        let port = match dropped.port {
            FlowPort::Transport(protocol, port) => format!("ports: [{{protocol: {}, port: {port}}}]", protocol.name()),
            FlowPort::Icmp => "no ports".to_owned(),
        };
        let record = dropped.judged.record();
        let policies: Vec<&str> = record.rules.iter().filter_map(|rule| rule.strip_prefix("networkpolicy/")).collect();
        let place =
            if policies.is_empty() { String::new() } else { format!(" (for example {})", policies.join(" or ")) };
        format!(
            "Add an {} rule to a NetworkPolicy that selects {} in namespace {}{place}: {side} {}, {port}.",
            direction.name(),
            dropped.own.name,
            namespace(dropped.own),
            self.peer(dropped)
        )
    }

    /// The peer of such a rule, in the words of the API.
    fn peer(&self, dropped: &Dropped<'_>) -> String {
        let other = dropped.other;
        let Some(pod) = other.pod().and_then(|key| self.world.pods.get(key)) else {
            return format!("ipBlock {}/{}", other.address, if other.address.is_ipv4() { 32 } else { 128 });
        };
        let pods = selector(&pod.labels);
        if pod.namespace == namespace(dropped.own) {
            return format!("podSelector {pods}");
        }
        format!("namespaceSelector {{kubernetes.io/metadata.name: {}}} with podSelector {pods}", pod.namespace)
    }
}

fn selector(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", labels.join(", "))
}

fn namespace(party: &Party) -> &str {
    party.pod().map_or("", |key| key.namespace.as_str())
}
