//! NetworkPolicy `networking.k8s.io/v1`: the API server's defaults and its validation.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy::model::{Block, InvalidPolicy, NamespaceScope, NetworkPolicy, Peer, Port, Protocol, Rule, Selector};
use serde_json::Value;

use super::selector::selector;
use super::{Report, Unknown};
use crate::ingest::{ObjectId, check};

/// The policy, or, where something is wrong with it, what isolates in its place.
pub fn network_policy(report: &mut Report<'_>) -> Result<NetworkPolicy, InvalidPolicy> {
    report.metadata();
    let ObjectId { namespace, name, .. } = report.manifest.id.clone();
    let object = &report.manifest.value;
    // An absent spec is an empty one: it isolates every pod of the namespace from ingress.
    let spec = &object["spec"];
    let known = report.whole(|report| {
        report.members("", object, &["apiVersion", "kind", "metadata", "spec", "status"])?;
        report.members("spec", spec, &["podSelector", "policyTypes", "ingress", "egress"])
    });
    let subject = report.whole(|report| subject(report, &spec["podSelector"]));
    let types = report.whole(|report| policy_types(report, spec));
    let ingress = report.whole(|report| rules(report, "spec.ingress", &spec["ingress"], ingress_rule));
    let egress = report.whole(|report| rules(report, "spec.egress", &spec["egress"], egress_rule));
    match (known, subject, types, ingress, egress) {
        (Some(()), Some(subject), Some((isolates_ingress, isolates_egress)), Some(ingress), Some(egress)) => {
            Ok(NetworkPolicy {
                namespace,
                name,
                subject,
                ingress: isolates_ingress.then_some(ingress),
                egress: isolates_egress.then_some(egress),
            })
        }
        (_, subject, types, ..) => {
            let (isolates_ingress, isolates_egress) = types.unwrap_or((true, true));
            let subject = subject.unwrap_or_default();
            Err(InvalidPolicy { namespace, name, subject, isolates_ingress, isolates_egress, over_share: false })
        }
    }
}

fn subject(report: &mut Report<'_>, written: &Value) -> Option<Selector> {
    const FIELD: &str = "spec.podSelector";
    let written = report.optional(FIELD, written, Unknown::Refuse)?;
    Some(selector(report, FIELD, &written))
}

/// Whether the policy isolates in ingress and in egress. Without policyTypes: ingress always, egress if it has rules.
fn policy_types(report: &mut Report<'_>, spec: &Value) -> Option<(bool, bool)> {
    const FIELD: &str = "spec.policyTypes";
    let types: Vec<String> = report.optional(FIELD, &spec["policyTypes"], Unknown::Refuse)?;
    // What is no list is found wrong where the rules are read.
    let has_rules =
        |field: &str| !spec[field].is_null() && spec[field].as_array().is_none_or(|rules| !rules.is_empty());
    if types.is_empty() {
        return Some((true, has_rules("egress")));
    }
    if types.len() > 2 {
        report.error(FIELD, "has more than two entries, name Ingress, Egress or both");
    }
    for (index, name) in types.iter().enumerate().filter(|(_, name)| *name != "Ingress" && *name != "Egress") {
        report.error(format_args!("{FIELD}[{index}]"), format!("`{name}` must be Ingress or Egress"));
    }
    let has = |name: &str| types.iter().any(|written| written == name);
    for (name, field) in [("Egress", "egress"), ("Ingress", "ingress")] {
        if !has(name) && has_rules(field) {
            let problem = format!("has no effect, because spec.policyTypes does not name {name}");
            report.warn(format_args!("spec.{field}"), problem);
        }
    }
    Some((has("Ingress"), has("Egress")))
}

fn rules(
    report: &mut Report<'_>,
    field: &str,
    written: &Value,
    read: fn(&mut Report<'_>, &str, &Value) -> Option<Rule>,
) -> Option<Vec<Rule>> {
    // Not copied: as values, a megabyte of peers is thirty.
    let written = match written {
        Value::Null => &[],
        Value::Array(written) => written.as_slice(),
        _ => return report.part::<Vec<Value>>(field, written, Unknown::Refuse).map(|_| Vec::new()),
    };
    let rules = written.iter().enumerate();
    Some(rules.filter_map(|(index, rule)| read(report, &format!("{field}[{index}]"), rule)).collect())
}

fn ingress_rule(report: &mut Report<'_>, field: &str, written: &Value) -> Option<Rule> {
    let NetworkPolicyIngressRule { from, ports } = report.part(field, written, Unknown::Refuse)?;
    Some(rule(report, field, "from", from.as_deref(), ports.as_deref()))
}

fn egress_rule(report: &mut Report<'_>, field: &str, written: &Value) -> Option<Rule> {
    let NetworkPolicyEgressRule { to, ports } = report.part(field, written, Unknown::Refuse)?;
    Some(rule(report, field, "to", to.as_deref(), ports.as_deref()))
}

fn rule(
    report: &mut Report<'_>,
    field: &str,
    peers_field: &str,
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
) -> Rule {
    let mut rule = Rule::default();
    for (index, port) in ports.into_iter().flatten().enumerate() {
        rule.ports.extend(self::port(report, &format!("{field}.ports[{index}]"), port));
    }
    for (index, peer) in peers.into_iter().flatten().enumerate() {
        rule.peers.extend(self::peer(report, &format!("{field}.{peers_field}[{index}]"), peer));
    }
    rule
}

fn port(report: &mut Report<'_>, field: &str, written: &NetworkPolicyPort) -> Option<Port> {
    let protocol = written.protocol.as_deref().unwrap_or("TCP");
    let protocol = report.accept(format_args!("{field}.protocol"), self::protocol(protocol));
    let at_port = format!("{field}.port");
    let at_end = format!("{field}.endPort");
    match (&written.port, written.end_port) {
        (None, None) => Some(Port::All(protocol?)),
        (None, Some(_)) => {
            report.error(at_end, "needs a numeric port, add port or leave endPort out");
            None
        }
        (Some(IntOrString::Int(first)), end) => {
            let first = report.accept(at_port, check::port_number(*first));
            let last = match end {
                None => first,
                Some(end) => report.accept(&at_end, check::port_number(end)),
            };
            let (first, last) = (first?, last?);
            if last < first {
                report.error(at_end, format!("{last} must not be smaller than port {first}"));
                return None;
            }
            Some(Port::Range(protocol?, first, last))
        }
        (Some(IntOrString::String(name)), end) => {
            report.accept(at_port, check::port_name(name));
            if end.is_some() {
                report.error(at_end, "needs a numeric port, write port as a number or leave endPort out");
            }
            Some(Port::Named(protocol?, name.clone()))
        }
    }
}

/// A protocol that a policy or a container port can name.
pub(super) fn protocol(name: &str) -> Result<Protocol, String> {
    Protocol::ALL
        .into_iter()
        .find(|protocol| protocol.name() == name)
        .ok_or_else(|| format!("`{name}` must be one of TCP, UDP, SCTP"))
}

fn peer(report: &mut Report<'_>, field: &str, written: &NetworkPolicyPeer) -> Option<Peer> {
    let NetworkPolicyPeer { ip_block, namespace_selector, pod_selector } = written;
    let namespaces = namespace_selector.as_ref().map(|s| selector(report, &format!("{field}.namespaceSelector"), s));
    let pods = pod_selector.as_ref().map(|s| selector(report, &format!("{field}.podSelector"), s));
    let block = ip_block.as_ref().map(|block| self::block(report, &format!("{field}.ipBlock"), block));
    match (block, namespaces, pods) {
        (Some(block), None, None) => block.map(Peer::Block),
        (Some(_), ..) => {
            report.error(field, "has ipBlock beside a selector, write two peers");
            None
        }
        (None, None, None) => {
            report.error(field, "names no peer, add podSelector, namespaceSelector or ipBlock");
            None
        }
        (None, Some(namespaces), pods) => Some(Peer::Pods { namespaces: NamespaceScope::Selected(namespaces), pods }),
        (None, None, pods) => Some(Peer::Pods { namespaces: NamespaceScope::Own, pods }),
    }
}

fn block(report: &mut Report<'_>, field: &str, written: &IPBlock) -> Option<Block> {
    let cidr = range(report, &format!("{field}.cidr"), &written.cidr);
    let mut except = Vec::new();
    for (index, text) in written.except.iter().flatten().enumerate() {
        let field = format!("{field}.except[{index}]");
        let Some(hole) = range(report, &field, text) else { continue };
        match cidr {
            Some(cidr) if !(cidr.contains(&hole) && cidr.prefix_len() < hole.prefix_len()) => {
                report.error(field, format!("{text} must be a strict subset of cidr {}", written.cidr));
            }
            _ => except.push(hole),
        }
    }
    Some(Block { cidr: cidr?, except })
}

/// A range with its host bits cleared: the API server takes them, and so does every program that reads the policy.
pub(super) fn range(report: &mut Report<'_>, field: &str, text: &str) -> Option<IpNet> {
    let net = report.accept(field, check::range(text))?;
    if net != net.trunc() {
        report.warn(field, format!("{text} has bits set beyond its prefix and stands for {}", net.trunc()));
    }
    Some(net.trunc())
}
