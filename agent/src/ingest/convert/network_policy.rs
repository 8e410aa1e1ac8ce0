//! NetworkPolicy `networking.k8s.io/v1`: the API server's defaults and its validation.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy as Written, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy::model::{Block, NamespaceScope, NetworkPolicy, Peer, Port, Protocol, Rule};

use super::selector::selector;
use super::{Report, Unknown};
use crate::ingest::check;

/// The policy; what is wrong with it goes to `report`.
pub fn network_policy(report: &mut Report<'_>) -> Option<NetworkPolicy> {
    let written: Written = report.parse(Unknown::Refuse)?;
    report.labels("metadata", &written.metadata);
    report.annotations("metadata", &written.metadata);
    // An absent spec is an empty one: it isolates every pod of the namespace from ingress.
    let spec = written.spec.unwrap_or_default();
    let subject = spec.pod_selector.clone().unwrap_or_default();
    let (isolates_ingress, isolates_egress) = policy_types(report, &spec);
    let ingress = spec.ingress.iter().flatten().map(|rule| (&rule.from, &rule.ports));
    let egress = spec.egress.iter().flatten().map(|rule| (&rule.to, &rule.ports));
    let ingress = rules(report, "spec.ingress", "from", ingress);
    let egress = rules(report, "spec.egress", "to", egress);
    Some(NetworkPolicy {
        namespace: report.manifest.id.namespace.clone(),
        name: report.manifest.id.name.clone(),
        subject: selector(report, "spec.podSelector", &subject),
        ingress: isolates_ingress.then_some(ingress),
        egress: isolates_egress.then_some(egress),
    })
}

/// Whether the policy isolates in ingress and in egress. Without policyTypes: ingress always, egress if it has rules.
fn policy_types(report: &mut Report<'_>, spec: &NetworkPolicySpec) -> (bool, bool) {
    const FIELD: &str = "spec.policyTypes";
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.is_empty() {
        return (true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()));
    }
    if types.len() > 2 {
        report.error(FIELD, "has more than two entries, name Ingress, Egress or both");
    }
    for (index, name) in types.iter().enumerate().filter(|(_, name)| *name != "Ingress" && *name != "Egress") {
        report.error(format_args!("{FIELD}[{index}]"), format!("`{name}` must be Ingress or Egress"));
    }
    let has = |name: &str| types.iter().any(|written| written == name);
    if !has("Egress") && spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
        report.warn("spec.egress", "has no effect, because spec.policyTypes does not name Egress");
    }
    if !has("Ingress") && spec.ingress.as_ref().is_some_and(|rules| !rules.is_empty()) {
        report.warn("spec.ingress", "has no effect, because spec.policyTypes does not name Ingress");
    }
    (has("Ingress"), has("Egress"))
}

type Peers = Option<Vec<NetworkPolicyPeer>>;
type Ports = Option<Vec<NetworkPolicyPort>>;

fn rules<'a>(
    report: &mut Report<'_>,
    field: &str,
    peers_field: &str,
    written: impl Iterator<Item = (&'a Peers, &'a Ports)>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, (peers, ports)) in written.enumerate() {
        let field = format!("{field}[{index}]");
        let mut rule = Rule::default();
        for (index, port) in ports.iter().flatten().enumerate() {
            rule.ports.extend(self::port(report, &format!("{field}.ports[{index}]"), port));
        }
        for (index, peer) in peers.iter().flatten().enumerate() {
            rule.peers.extend(self::peer(report, &format!("{field}.{peers_field}[{index}]"), peer));
        }
        rules.push(rule);
    }
    rules
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
fn range(report: &mut Report<'_>, field: &str, text: &str) -> Option<IpNet> {
    let net = report.accept(field, check::range(text))?;
    if net != net.trunc() {
        report.warn(field, format!("{text} has bits set beyond its prefix and stands for {}", net.trunc()));
    }
    Some(net.trunc())
}
