//! Policies as the API writes them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::model::{
    ClusterNetworkPolicy, ClusterPeer, ClusterRule, NamespaceScope, NetworkPolicy, Operator, Peer, Pods, Port,
    Protocol, Rule, Selector,
};

/// An object with its apiVersion and kind, ready to be applied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'p, Spec> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'p>,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata<'p> {
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'p str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkPolicySpec {
    pod_selector: LabelSelector,
    policy_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ingress: Vec<IngressRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    egress: Vec<EgressRule>,
}

#[derive(Serialize)]
struct IngressRule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<PeerForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<PortForm>,
}

#[derive(Serialize)]
struct EgressRule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<PeerForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<PortForm>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_block: Option<IpBlock>,
}

#[derive(Serialize)]
struct IpBlock {
    cidr: IpNet,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<IpNet>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortForm {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_port: Option<u16>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Port(u16),
    Name(String),
}

/// A selector as the API writes it: what one value decides, as a label.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    match_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    match_expressions: Vec<Expression>,
}

#[derive(Serialize)]
struct Expression {
    key: String,
    operator: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

pub(super) fn network_policy<S: Serializer>(policy: &NetworkPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    let types = [("Ingress", &policy.ingress), ("Egress", &policy.egress)];
    let ingress = policy.ingress.iter().flatten();
    let egress = policy.egress.iter().flatten();
    Object {
        api_version: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: Metadata { name: &policy.name, namespace: Some(&policy.namespace) },
        spec: NetworkPolicySpec {
            pod_selector: LabelSelector::from(&policy.subject),
            policy_types: types.iter().filter(|(_, rules)| rules.is_some()).map(|(name, _)| *name).collect(),
            ingress: ingress.map(|rule| IngressRule { from: peers(rule), ports: ports(rule) }).collect(),
            egress: egress.map(|rule| EgressRule { to: peers(rule), ports: ports(rule) }).collect(),
        },
    }
    .serialize(serializer)
}

#[derive(Serialize)]
struct ClusterSpec {
    tier: &'static str,
    priority: u16,
    subject: ClusterPeerForm,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ingress: Vec<ClusterIngressRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    egress: Vec<ClusterEgressRule>,
}

#[derive(Serialize)]
struct ClusterIngressRule {
    action: &'static str,
    from: Vec<ClusterPeerForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<ProtocolForm>,
}

#[derive(Serialize)]
struct ClusterEgressRule {
    action: &'static str,
    to: Vec<ClusterPeerForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<ProtocolForm>,
}

/// A union: one of the fields is there.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterPeerForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<PodsForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<Vec<IpNet>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_names: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodsForm {
    namespace_selector: LabelSelector,
    pod_selector: LabelSelector,
}

/// A union: one of the fields is there.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProtocolForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<DestinationPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<DestinationPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp: Option<DestinationPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_named_port: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DestinationPort {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<PortNumbers>,
}

/// A union: one of the fields is there.
#[derive(Serialize)]
struct PortNumbers {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<PortRange>,
}

#[derive(Serialize)]
struct PortRange {
    start: u16,
    end: u16,
}

pub(super) fn cluster_network_policy<S: Serializer>(
    policy: &ClusterNetworkPolicy,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let form = |rule: &ClusterRule| {
        let peers: Vec<ClusterPeerForm> = rule.peers.iter().filter_map(cluster_peer).collect();
        (rule.action.name(), peers, rule.ports.iter().map(protocol).collect::<Vec<_>>())
    };
    let ingress = policy.ingress.iter().map(form);
    let egress = policy.egress.iter().map(form);
    Object {
        api_version: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: Metadata { name: &policy.name, namespace: None },
        spec: ClusterSpec {
            tier: policy.tier.name(),
            priority: policy.priority,
            subject: pods(&policy.subject),
            ingress: ingress.map(|(action, from, protocols)| ClusterIngressRule { action, from, protocols }).collect(),
            egress: egress.map(|(action, to, protocols)| ClusterEgressRule { action, to, protocols }).collect(),
        },
    }
    .serialize(serializer)
}

fn pods(pods: &Pods) -> ClusterPeerForm {
    let form = PodsForm { namespace_selector: (&pods.namespaces).into(), pod_selector: (&pods.pods).into() };
    ClusterPeerForm { pods: Some(form), ..ClusterPeerForm::default() }
}

/// `None` for what the API has no words for.
fn cluster_peer(peer: &ClusterPeer) -> Option<ClusterPeerForm> {
    let none = ClusterPeerForm::default();
    match peer {
        ClusterPeer::Pods(selected) => Some(pods(selected)),
        ClusterPeer::Networks(networks) => Some(ClusterPeerForm { networks: Some(networks.clone()), ..none }),
        ClusterPeer::Nodes(selector) => Some(ClusterPeerForm { nodes: Some(selector.into()), ..none }),
        ClusterPeer::Domains(names) => Some(ClusterPeerForm { domain_names: Some(names.clone()), ..none }),
        ClusterPeer::Unknown => None,
    }
}

fn protocol(port: &Port) -> ProtocolForm {
    let none = ProtocolForm::default();
    let (protocol, destination_port) = match port {
        Port::All(protocol) => (protocol, None),
        Port::Range(protocol, first, last) if first == last => {
            (protocol, Some(PortNumbers { number: Some(*first), range: None }))
        }
        Port::Range(protocol, first, last) => {
            let range = Some(PortRange { start: *first, end: *last });
            (protocol, Some(PortNumbers { number: None, range }))
        }
        Port::Named(_, name) => return ProtocolForm { destination_named_port: Some(name.clone()), ..none },
    };
    let numbers = Some(DestinationPort { destination_port });
    match protocol {
        Protocol::Tcp => ProtocolForm { tcp: numbers, ..none },
        Protocol::Udp => ProtocolForm { udp: numbers, ..none },
        Protocol::Sctp => ProtocolForm { sctp: numbers, ..none },
    }
}

fn peers(rule: &Rule) -> Vec<PeerForm> {
    let form = |peer: &Peer| match peer {
        Peer::Pods { namespaces, pods } => PeerForm {
            namespace_selector: match namespaces {
                NamespaceScope::Own => None,
                NamespaceScope::Selected(selector) => Some(selector.into()),
            },
            pod_selector: pods.as_ref().map(LabelSelector::from),
            ip_block: None,
        },
        Peer::Block(block) => {
            let ip_block = Some(IpBlock { cidr: block.cidr, except: block.except.clone() });
            PeerForm { ip_block, ..PeerForm::default() }
        }
    };
    rule.peers.iter().map(form).collect()
}

fn ports(rule: &Rule) -> Vec<PortForm> {
    let form = |port: &Port| match port {
        Port::All(protocol) => PortForm { protocol: protocol.name(), port: None, end_port: None },
        Port::Range(protocol, first, last) => PortForm {
            protocol: protocol.name(),
            port: Some(Number::Port(*first)),
            end_port: Some(*last).filter(|last| last != first),
        },
        Port::Named(protocol, name) => {
            PortForm { protocol: protocol.name(), port: Some(Number::Name(name.clone())), end_port: None }
        }
    };
    rule.ports.iter().map(form).collect()
}

impl From<&Selector> for LabelSelector {
    fn from(selector: &Selector) -> Self {
        let mut form = Self::default();
        for requirement in &selector.requirements {
            let (operator, values) = match &requirement.operator {
                Operator::In(values) => ("In", values.iter().cloned().collect()),
                Operator::NotIn(values) => ("NotIn", values.iter().cloned().collect()),
                Operator::Exists => ("Exists", Vec::new()),
                Operator::DoesNotExist => ("DoesNotExist", Vec::new()),
            };
            match (values.as_slice(), form.match_labels.entry(requirement.key.clone())) {
                ([value], Entry::Vacant(entry)) if operator == "In" => {
                    entry.insert(value.clone());
                }
                _ => form.match_expressions.push(Expression { key: requirement.key.clone(), operator, values }),
            }
        }
        form
    }
}
