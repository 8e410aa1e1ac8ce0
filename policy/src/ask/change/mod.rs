//! What would have to change for a dropped flow to pass: the smallest change, never one that opens more than was asked
//! about.

mod accept;
mod door;
mod selection;

use common::abi::{Direction, DropReason, LowerVerdict, Mode, PeerKind};
use common::decide::{Verdict, calls_agent};
use serde::{Serialize, Serializer};

use super::end::Party;
use super::engine::{Engine, Judged};
use super::manifest;
use super::port::FlowPort;
use crate::model::tenants::{Finding, ISOLATION_ANNOTATION};
use crate::model::{ClusterNetworkPolicy, NetworkPolicy, PolicyTier, World};

/// One change. All changes of an explanation together let the flow pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What to do, and why.
    pub says: String,
    /// The object to add, where an object can do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply: Option<Proposal>,
}

/// An object that is not there yet. As JSON the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    NetworkPolicy(NetworkPolicy),
    ClusterNetworkPolicy(ClusterNetworkPolicy),
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::NetworkPolicy(policy) => manifest::network_policy(policy, serializer),
            Self::ClusterNetworkPolicy(policy) => manifest::cluster_network_policy(policy, serializer),
        }
    }
}

impl Proposal {
    /// Adds the object to a world.
    pub fn apply_to(&self, world: &mut World) {
        match self {
            Self::NetworkPolicy(policy) => {
                world.network_policies.insert((policy.namespace.clone(), policy.name.clone()), policy.clone());
            }
            Self::ClusterNetworkPolicy(policy) => {
                world.cluster_network_policies.insert(policy.name.clone(), policy.clone());
            }
        }
    }
}

/// A dropped direction: who was judged, who is at the other end, on which port.
pub(super) struct Dropped<'d> {
    pub judged: &'d Judged<'d>,
    pub own: &'d Party,
    pub other: &'d Party,
    pub port: FlowPort,
}

impl Engine<'_> {
    /// What would let the flow pass in this direction; nothing where it passes.
    pub(super) fn changes(&self, dropped: &Dropped<'_>) -> Vec<Change> {
        let Verdict::Drop(reason) = dropped.judged.judgement.verdict else { return Vec::new() };
        if dropped.judged.question.peer.kind() == PeerKind::UnknownPod {
            return vec![unknown_pod(dropped)];
        }
        if calls_agent(&dropped.judged.profile, dropped.judged.question) && reason == DropReason::TenantIsolation {
            let why = "The agents' port tells about all tenants, so nothing less opens it.";
            return vec![self.new_accept(dropped, PolicyTier::Admin, why)];
        }
        let strict = dropped.judged.profile.mode() == Mode::Strict;
        match reason {
            DropReason::TenantIsolation if strict => vec![self.past_strict(dropped)],
            DropReason::Quarantine if strict => self.out_of_quarantine(dropped),
            DropReason::TenantIsolation | DropReason::Quarantine if self.baseline_tier_asks(dropped) => {
                vec![self.new_accept(dropped, PolicyTier::Baseline, "")]
            }
            DropReason::TenantIsolation | DropReason::Quarantine | DropReason::DefaultDeny => {
                vec![self.new_policy(dropped)]
            }
            DropReason::ClusterPolicy => {
                let baseline =
                    dropped.judged.lower() == Some(LowerVerdict::BaselineDeny) && !dropped.judged.admin_decides();
                let tier = if baseline { PolicyTier::Baseline } else { PolicyTier::Admin };
                let denies = format!("It comes before {}, which denies.", dropped.judged.record().rules.join(", "));
                vec![self.new_accept(dropped, tier, &denies)]
            }
            DropReason::InvalidPolicy => {
                vec![advice(format!("Correct {}.", dropped.judged.record().rules.join(", ")))]
            }
            DropReason::Capacity => self.excesses().iter().map(|excess| advice(format!("{excess}."))).collect(),
            DropReason::UnknownEndpoint
            | DropReason::SpoofedSource
            | DropReason::Tunnel
            | DropReason::WrongDestination
            | DropReason::NotReady
            | DropReason::Revoked
            | DropReason::Malformed
            | DropReason::Fragment
            | DropReason::UnsupportedProtocol
            | DropReason::ServiceUndecided => Vec::new(),
        }
    }

    fn new_policy(&self, dropped: &Dropped<'_>) -> Change {
        let Some(policy) = self.door(dropped) else { return icmp(dropped) };
        let direction = dropped.judged.question.direction;
        let (side, own, other) = (side(direction), &dropped.own.name, &dropped.other.name);
        let mut says = format!(
            "Add NetworkPolicy {} to namespace {}: it selects {own} and allows {side} {other} on {}.",
            policy.name, policy.namespace, dropped.port
        );
        if !door::is_isolated(dropped) {
            says += &format!(
                " Nothing isolates {own} in {} yet, so its second rule, {{}}, keeps open what is open now; it admits \
                 no other tenant.",
                direction.name()
            );
        }
        Change { says, apply: Some(Proposal::NetworkPolicy(policy)) }
    }

    /// True where policies of the Baseline tier are asked about the pod: one that isolates it would take them out.
    fn baseline_tier_asks(&self, dropped: &Dropped<'_>) -> bool {
        let pod = dropped.own.pod().and_then(|key| self.world.pods.get(key));
        let Some((pod, namespace)) = pod.and_then(|pod| Some((pod, self.world.namespaces.get(&pod.namespace)?))) else {
            return false;
        };
        let asks = |policy: &ClusterNetworkPolicy| {
            let rules = match dropped.judged.question.direction {
                Direction::Egress => &policy.egress,
                Direction::Ingress => &policy.ingress,
            };
            let subject = &policy.subject;
            let selects = subject.namespaces.matches(&namespace.labels) && subject.pods.matches(&pod.labels);
            policy.tier == PolicyTier::Baseline && !rules.is_empty() && selects
        };
        !door::is_isolated(dropped) && self.world.cluster_network_policies.values().any(asks)
    }

    /// `why`: a sentence about what is in the way.
    fn new_accept(&self, dropped: &Dropped<'_>, tier: PolicyTier, why: &str) -> Change {
        let direction = dropped.judged.question.direction;
        let (own, other) = (&dropped.own.name, &dropped.other.name);
        let Some(policy) = self.accept(dropped, tier) else {
            if dropped.port == FlowPort::Icmp {
                return icmp(dropped);
            }
            return advice(format!(
                "No ClusterNetworkPolicy of the {} tier can accept this flow alone: none comes before all others, or \
                 {other} cannot be named as a source. {why} Correct what is in the way.",
                tier.name()
            ));
        };
        let says = format!(
            "Add ClusterNetworkPolicy {} (tier {}, priority {}): it selects {own} and accepts {} {other} on {}. {why}",
            policy.name,
            tier.name(),
            policy.priority,
            side(direction),
            dropped.port
        );
        let says = says.trim_end().to_owned();
        Change { says, apply: Some(Proposal::ClusterNetworkPolicy(policy)) }
    }

    fn past_strict(&self, dropped: &Dropped<'_>) -> Change {
        let tenant = self.tenant(dropped.own).unwrap_or_default();
        let why = format!(
            "Tenant {tenant} is strict, so no NetworkPolicy can allow it; {ISOLATION_ANNOTATION}: baseline on the tenant \
             would let it, but it opens more than this flow."
        );
        self.new_accept(dropped, PolicyTier::Admin, &why)
    }

    /// The marks are to be repaired; what lets this flow pass meanwhile is an exception.
    fn out_of_quarantine(&self, dropped: &Dropped<'_>) -> Vec<Change> {
        let ends = [namespace(dropped.own), namespace(dropped.other)];
        let concerns = |finding: &&Finding| match finding {
            Finding::Quarantine { namespace, .. } => ends.contains(&namespace.as_str()),
            Finding::UnknownMode { .. } => false,
        };
        let findings: Vec<String> =
            self.findings().iter().filter(concerns).map(|finding| format!("{finding}.")).collect();
        let why = format!("Better repair the marks of tenancy: {}", findings.join(" "));
        vec![self.new_accept(dropped, PolicyTier::Admin, &why)]
    }
}

const fn advice(says: String) -> Change {
    Change { says, apply: None }
}

fn unknown_pod(dropped: &Dropped<'_>) -> Change {
    advice(format!(
        "No known pod owns {}, an address in a pod range, so no policy can name it: add that pod, or correct the \
         Nodes' podCIDRs or cluster.podCIDRs in the configuration.",
        dropped.other.address
    ))
}

fn icmp(dropped: &Dropped<'_>) -> Change {
    let direction = dropped.judged.question.direction;
    advice(format!(
        "No rule can name ICMP. The smallest that lets it pass is an {} rule {} {} without ports, in a NetworkPolicy \
         that selects {}: it opens every port too, so write it only if that is meant.",
        direction.name(),
        side(direction),
        dropped.other.name,
        dropped.own.name
    ))
}

const fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    }
}

fn namespace(party: &Party) -> &str {
    party.pod().map_or("", |key| key.namespace.as_str())
}
