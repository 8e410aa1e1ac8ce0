//! ClusterNetworkPolicy `policy.networking.k8s.io/v1alpha2`: the schema and the CEL rules of its CRD, and what its API
//! says in words alone.
//!
//! Of a policy that cannot be understood whole, what can be stays in force, so that nothing is let in that it keeps out:
//! a rule that is not understood accepts nothing, or denies everything (`apis/v1alpha2/clusternetworkpolicy_types.go`,
//! on unknown peers). Where its place or its subject is not understood it is of the Admin tier, comes first, is about
//! every pod, and none of its rules accepts; what would pass on to others is denied, because they may accept.

mod peer;
mod port;
mod written;

use common::abi::Direction;
use policy::model::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Pods, PolicyTier};
use serde_json::Value;

use super::{Report, Unknown};

/// The most that a list of rules, peers, protocols, networks or domain names may hold.
const MOST: usize = 25;
const LONGEST_NAME: usize = 100;
const LOWEST_PRIORITY: u16 = 1000;

/// The policy; what is wrong with it goes to `report`.
pub fn cluster_network_policy(report: &mut Report<'_>) -> ClusterNetworkPolicy {
    report.metadata();
    let name = report.manifest.id.name.clone();
    let object = &report.manifest.value;
    let spec = &object["spec"];
    let known = report.whole(|report| {
        report.members("", object, &["apiVersion", "kind", "metadata", "spec", "status"])?;
        report.members("spec", spec, &["tier", "priority", "subject", "ingress", "egress"])
    });
    let tier = report.whole(|report| tier(report, &spec["tier"]));
    let priority = report.whole(|report| priority(report, &spec["priority"]));
    let (subject, subject_known) = subject(report, &spec["subject"]);
    let ingress = rules(report, Direction::Ingress, &spec["ingress"]);
    let egress = rules(report, Direction::Egress, &spec["egress"]);
    let mut policy = ClusterNetworkPolicy {
        name,
        tier: tier.unwrap_or(PolicyTier::Admin),
        priority: priority.unwrap_or(0),
        subject,
        ingress,
        egress,
    };
    if known.is_none() || tier.is_none() || priority.is_none() || !subject_known {
        policy.ingress.iter_mut().chain(&mut policy.egress).for_each(close);
    }
    policy
}

/// Of a rule that may be asked about whom it is not about, or before others that are asked first.
fn close(rule: &mut ClusterRule) {
    match rule.action {
        Action::Accept => rule.peers = vec![ClusterPeer::Unknown],
        Action::Pass => rule.action = Action::Deny,
        Action::Deny => {}
    }
}

fn tier(report: &mut Report<'_>, written: &Value) -> Option<PolicyTier> {
    const FIELD: &str = "spec.tier";
    let name: String = required(report, FIELD, written)?;
    let tier = [PolicyTier::Admin, PolicyTier::Baseline].into_iter().find(|tier| tier.name() == name);
    report.accept(FIELD, tier.ok_or_else(|| format!("`{name}` must be Admin or Baseline")))
}

fn priority(report: &mut Report<'_>, written: &Value) -> Option<u16> {
    const FIELD: &str = "spec.priority";
    let number: i64 = required(report, FIELD, written)?;
    let priority = u16::try_from(number).ok().filter(|number| *number <= LOWEST_PRIORITY);
    report.accept(FIELD, priority.ok_or_else(|| format!("{number} must be between 0 and {LOWEST_PRIORITY}")))
}

fn required<T: serde::de::DeserializeOwned>(report: &mut Report<'_>, field: &str, written: &Value) -> Option<T> {
    if written.is_null() {
        report.error(field, "is required");
        return None;
    }
    report.part(field, written, Unknown::Refuse)
}

/// Whom the policy is about, and whether that is known: of what is not understood everything.
fn subject(report: &mut Report<'_>, written: &Value) -> (Pods, bool) {
    const FIELD: &str = "spec.subject";
    let mut pods = Pods::default();
    let known = report.whole(|report| {
        let written::Subject { namespaces, pods: written } = required(report, FIELD, written)?;
        if usize::from(namespaces.is_some()) + usize::from(written.is_some()) != 1 {
            report.error(FIELD, "must name exactly one of namespaces and pods");
            return None;
        }
        if let Some(namespaces) = namespaces {
            pods = peer::namespaces(report, FIELD, &namespaces);
        }
        if let Some(written) = written {
            pods = peer::pods(report, FIELD, &written);
        }
        Some(())
    });
    (pods, known.is_some())
}

/// The rules; in the place of one that is not understood one that accepts nothing or denies everything.
fn rules(report: &mut Report<'_>, direction: Direction, written: &Value) -> Vec<ClusterRule> {
    let field = format!("spec.{}", direction.name());
    let Some(written) = report.optional::<Vec<Value>>(&field, written, Unknown::Refuse) else {
        return vec![not_understood(Action::Deny)];
    };
    at_most(report, &field, "rules", written.len());
    let rules = written.iter().enumerate().map(|(index, written)| {
        let field = format!("{field}[{index}]");
        let rule = report.whole(|report| rule(report, direction, &field, written));
        rule.unwrap_or_else(|| {
            let named = written["action"].as_str().and_then(action_named);
            not_understood(named.unwrap_or(Action::Deny))
        })
    });
    rules.collect()
}

fn not_understood(action: Action) -> ClusterRule {
    ClusterRule { action, peers: vec![ClusterPeer::Unknown], ports: Vec::new() }
}

fn rule(report: &mut Report<'_>, direction: Direction, field: &str, written: &Value) -> Option<ClusterRule> {
    let (peers_field, name, action, peers, protocols) = match direction {
        Direction::Ingress => {
            let rule: written::IngressRule = report.part(field, written, Unknown::Refuse)?;
            ("from", rule.name, rule.action, rule.from, rule.protocols)
        }
        Direction::Egress => {
            let rule: written::EgressRule = report.part(field, written, Unknown::Refuse)?;
            ("to", rule.name, rule.action, rule.to, rule.protocols)
        }
    };
    let length = name.map_or(0, |name| name.chars().count());
    if length > LONGEST_NAME {
        report.error(format_args!("{field}.name"), format!("has {length} characters, {LONGEST_NAME} are possible"));
    }
    let problem = || format!("`{action}` must be Accept, Deny or Pass");
    let action = report.accept(format_args!("{field}.action"), action_named(&action).ok_or_else(problem));
    let peers_field = format!("{field}.{peers_field}");
    some(report, &peers_field, "peers", peers.len());
    let ports = port::ports(report, &format!("{field}.protocols"), protocols.as_deref());
    let named = protocols.iter().flatten().any(|protocol| protocol.destination_named_port.is_some());
    let context = peer::Context { direction, action, named };
    let peers = peers.iter().enumerate();
    let peers = peers.filter_map(|(index, peer)| peer::peer(report, &format!("{peers_field}[{index}]"), peer, context));
    Some(ClusterRule { peers: peers.collect(), action: action?, ports })
}

fn action_named(name: &str) -> Option<Action> {
    [Action::Accept, Action::Deny, Action::Pass].into_iter().find(|action| action.name() == name)
}

/// A list that may not be empty, nor longer than [`MOST`].
fn some(report: &mut Report<'_>, field: &str, what: &str, length: usize) {
    if length == 0 {
        report.error(field, format!("has no {what}, name at least one or leave the rule out"));
    }
    at_most(report, field, what, length);
}

fn at_most(report: &mut Report<'_>, field: &str, what: &str, length: usize) {
    if length > MOST {
        report.error(field, format!("has {length} {what}, {MOST} are possible: write another policy for the rest"));
    }
}
