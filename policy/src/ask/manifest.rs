//! Policies as the API writes them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::model::{NamespaceScope, NetworkPolicy, Operator, Peer, Port, Rule, Selector};

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
