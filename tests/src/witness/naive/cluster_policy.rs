//! ClusterNetworkPolicy, in the words of network-policy-api v0.2.0, `apis/v1alpha2/clusternetworkpolicy_types.go`.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use super::said::Rules;
use super::seen::{Other, labels_of, name_of};
use super::selector::matches;
use super::{Case, Said, Side, range};

#[derive(Debug, Deserialize)]
pub struct ClusterNetworkPolicy {
    metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    tier: String,
    priority: i32,
    subject: Subject,
    #[serde(default)]
    ingress: Vec<Rule>,
    #[serde(default)]
    egress: Vec<Rule>,
}

/// Exactly one.
#[derive(Debug, Deserialize)]
struct Subject {
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPods>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamespacedPods {
    namespace_selector: Option<LabelSelector>,
    pod_selector: LabelSelector,
}

#[derive(Debug, Deserialize)]
struct Rule {
    action: String,
    #[serde(default, alias = "to")]
    from: Vec<Peer>,
    protocols: Option<Vec<Protocol>>,
}

/// Exactly one; none of those that are known here is a peer that is not understood.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPods>,
    networks: Option<Vec<String>>,
    nodes: Option<LabelSelector>,
    domain_names: Option<Vec<String>>,
}

/// Exactly one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    tcp: Option<Ports>,
    udp: Option<Ports>,
    sctp: Option<Ports>,
    destination_named_port: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ports {
    destination_port: Option<Port>,
}

#[derive(Debug, Deserialize)]
struct Port {
    number: Option<u16>,
    range: Option<PortRange>,
}

#[derive(Debug, Deserialize)]
struct PortRange {
    start: u16,
    end: u16,
}

impl Case<'_> {
    /// What a tier decides; `None` where it does not, or a rule passes. "Policies with lower priority values have higher
    /// precedence": of two with the same one the name decides.
    pub(super) fn tier(&self, tier: &str) -> Option<Said> {
        let all = self.seen.cluster_policies.iter();
        let mut policies: Vec<_> = all.filter(|it| it.spec.tier == tier && self.is_subject(&it.spec.subject)).collect();
        policies.sort_by_key(|policy| (policy.spec.priority, name_of(&policy.metadata)));
        for policy in policies {
            let rules = match self.flow.side {
                Side::Source => &policy.spec.egress,
                Side::Destination => &policy.spec.ingress,
            };
            for (index, rule) in rules.iter().enumerate() {
                let name = name_of(&policy.metadata);
                let name = format!("clusternetworkpolicy/{name} {}[{index}]", self.flow.side.direction());
                match self.acts(rule) {
                    None => {}
                    Some("Pass") => return None,
                    Some("Accept") => return Some(Said::allow("cluster_policy").by(Rules::All(vec![name]))),
                    Some("Deny") if tier == "Admin" => {
                        return Some(Said::drop("cluster_policy").by(Rules::All(vec![name])));
                    }
                    Some(_) => return Some(self.dropped("cluster_policy").by(Rules::All(vec![name]))),
                }
            }
        }
        None
    }

    fn is_subject(&self, subject: &Subject) -> bool {
        match (&subject.namespaces, &subject.pods) {
            (Some(selector), None) => matches(selector, self.seen.namespace_labels(self.judged)),
            (None, Some(pods)) => self.are(pods, self.judged),
            _ => panic!("a subject is exactly one of namespaces, pods"),
        }
    }

    fn are(&self, pods: &NamespacedPods, pod: &Pod) -> bool {
        let there = pods.namespace_selector.as_ref();
        there.is_none_or(|selector| matches(selector, self.seen.namespace_labels(pod)))
            && matches(&pods.pod_selector, &labels_of(&pod.metadata))
    }

    /// What a rule does with the flow; `None` where it is about others. "Implementations must fail closed": with a peer that
    /// is not understood an Accept matches nothing, and any other rule denies everything.
    fn acts<'r>(&self, rule: &'r Rule) -> Option<&'r str> {
        if rule.from.iter().any(Peer::is_unknown) {
            return (rule.action != "Accept").then_some("Deny");
        }
        let about = match self.other {
            Other::UnknownPod => rule.action != "Accept" && rule.from.iter().any(|peer| self.may_be_unknown_pod(peer)),
            _ => rule.from.iter().any(|peer| self.is_cluster_peer(peer)),
        };
        let on = rule.protocols.as_ref().is_none_or(|protocols| protocols.iter().any(|it| self.is_on(it)));
        (about && on).then_some(&rule.action)
    }

    /// An address of a pod range that no known pod has: "Deny and Pass also match addresses of unknown pods (by ipBlock,
    /// and by all namespaces)".
    fn may_be_unknown_pod(&self, peer: &Peer) -> bool {
        let is_any = |selector: &LabelSelector| {
            selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
                && selector.match_expressions.as_ref().is_none_or(|expressions| expressions.is_empty())
        };
        match peer {
            Peer { namespaces: Some(selector), .. } => is_any(selector),
            Peer { pods: Some(NamespacedPods { namespace_selector, pod_selector }), .. } => {
                namespace_selector.as_ref().is_none_or(is_any) && is_any(pod_selector)
            }
            Peer { networks: Some(networks), .. } => networks.iter().any(|cidr| range::holds(cidr, self.flow.address)),
            _ => false,
        }
    }

    fn is_cluster_peer(&self, peer: &Peer) -> bool {
        let address = self.flow.address;
        match (&self.other, peer) {
            (Other::Pod(pod), Peer { namespaces: Some(selector), .. }) => {
                matches(selector, self.seen.namespace_labels(pod))
            }
            (Other::Pod(pod), Peer { pods: Some(pods), .. }) => self.are(pods, pod),
            (_, Peer { networks: Some(networks), .. }) => networks.iter().any(|cidr| range::holds(cidr, address)),
            (Other::OwnNode | Other::DistantNode, Peer { nodes: Some(selector), .. }) => {
                self.seen.nodes_at(address).any(|node| matches(selector, &labels_of(&node.metadata)))
            }
            _ => false,
        }
    }

    fn is_on(&self, protocol: &Protocol) -> bool {
        let Protocol { tcp, udp, sctp, destination_named_port } = protocol;
        let numbered = [("TCP", tcp), ("UDP", udp), ("SCTP", sctp)];
        let numbered = numbered.into_iter().filter_map(|(name, ports)| Some((name, ports.as_ref()?)));
        let mut numbered = numbered.filter(|(name, _)| self.is_protocol(name));
        numbered.any(|(_, ports)| ports.destination_port.as_ref().is_none_or(|port| port.is(self.flow.port)))
            || destination_named_port.as_ref().is_some_and(|name| self.is_named(name, None))
    }
}

impl Peer {
    const fn is_unknown(&self) -> bool {
        let Self { namespaces, pods, networks, nodes, domain_names } = self;
        namespaces.is_none() && pods.is_none() && networks.is_none() && nodes.is_none() && domain_names.is_none()
    }
}

impl Port {
    /// "start" and "end" are both part of the range.
    fn is(&self, port: u16) -> bool {
        let in_range = |range: &PortRange| range.start <= port && port <= range.end;
        self.number == Some(port) || self.range.as_ref().is_some_and(in_range)
    }
}
