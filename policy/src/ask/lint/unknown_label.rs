//! A selector that asks for a label that nobody has: most often a misspelt one.

use std::collections::BTreeSet;

use super::subject::{Subject, cluster_name_of, name_of, warning};
use super::{LintFinding, LintRule};
use crate::model::{ClusterPeer, Labels, NamespaceScope, Operator, Peer, Pods, Requirement, Selector};

const NAME: &str = "unknown-label";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A selector that names a label, or a value of one, that no pod or namespace it is about has.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in subject.policies() {
        let own: Vec<&Labels> =
            subject.pods().filter(|pod| pod.namespace == policy.namespace).map(|pod| &pod.labels).collect();
        if !own.is_empty() {
            let about = format!("pod of namespace {}", policy.namespace);
            findings.extend(unknown(&name_of(policy), "spec.podSelector", &policy.subject, &own, &about));
        }
    }
    for placed in subject.rules() {
        for (field, peer) in placed.peers() {
            let Peer::Pods { namespaces, pods } = peer else { continue };
            if let NamespaceScope::Selected(selector) = namespaces {
                let labels: Vec<&Labels> =
                    subject.world.namespaces.values().map(|namespace| &namespace.labels).collect();
                let field = format!("{field}.namespaceSelector");
                findings.extend(unknown(&name_of(placed.policy), &field, selector, &labels, "namespace"));
            }
            let there = subject.pods().filter(|pod| subject.in_scope(&placed.policy.namespace, namespaces, pod));
            let labels: Vec<&Labels> = there.map(|pod| &pod.labels).collect();
            if let (Some(selector), false) = (pods, labels.is_empty()) {
                let field = format!("{field}.podSelector");
                findings.extend(unknown(&name_of(placed.policy), &field, selector, &labels, "pod there"));
            }
        }
    }
    findings.extend(in_cluster_policies(subject));
    findings
}

fn in_cluster_policies(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in subject.cluster_policies() {
        findings.extend(in_pods(subject, &cluster_name_of(policy), "spec.subject", &policy.subject));
    }
    for placed in subject.cluster_rules() {
        for (field, peer) in placed.peers() {
            match peer {
                ClusterPeer::Pods(pods) => findings.extend(in_pods(subject, &placed.object(), &field, pods)),
                ClusterPeer::Nodes(selector) => {
                    let labels: Vec<&Labels> = subject.world.nodes.values().map(|node| &node.labels).collect();
                    findings.extend(unknown(&placed.object(), &format!("{field}.nodes"), selector, &labels, "node"));
                }
                ClusterPeer::Networks(_) | ClusterPeer::Domains(_) | ClusterPeer::Unknown => {}
            }
        }
    }
    findings
}

fn in_pods(subject: &Subject<'_>, object: &str, field: &str, pods: &Pods) -> Vec<LintFinding> {
    let namespaces: Vec<&Labels> = subject.world.namespaces.values().map(|namespace| &namespace.labels).collect();
    let mut findings =
        unknown(object, &format!("{field}.namespaceSelector"), &pods.namespaces, &namespaces, "namespace");
    let in_namespaces = Pods { pods: Selector::default(), ..pods.clone() };
    let there = subject.pods().filter(|pod| subject.is_of(&in_namespaces, pod));
    let there: Vec<&Labels> = there.map(|pod| &pod.labels).collect();
    if !there.is_empty() {
        findings.extend(unknown(object, &format!("{field}.podSelector"), &pods.pods, &there, "pod there"));
    }
    findings
}

fn unknown(object: &str, field: &str, selector: &Selector, candidates: &[&Labels], about: &str) -> Vec<LintFinding> {
    let warn = |requirement: &Requirement| {
        let message = problem(requirement, candidates, about)?;
        let remedy = "correct the key or the value, or label what is meant";
        Some(warning(NAME, object, format!("{field}[{}]", requirement.key), message, remedy))
    };
    selector.requirements.iter().filter_map(warn).collect()
}

fn problem(requirement: &Requirement, candidates: &[&Labels], about: &str) -> Option<String> {
    let key = requirement.key.as_str();
    let values: BTreeSet<&str> = candidates.iter().filter_map(|labels| Some(labels.get(key)?.as_str())).collect();
    match &requirement.operator {
        Operator::In(_) | Operator::Exists if values.is_empty() => {
            Some(format!("no {about} has the label {key}, so this matches nobody"))
        }
        Operator::NotIn(_) | Operator::DoesNotExist if values.is_empty() => {
            Some(format!("no {about} has the label {key}, so this leaves nobody out"))
        }
        Operator::In(wanted) if wanted.iter().all(|value| !values.contains(value.as_str())) => {
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            Some(format!(
                "no {about} has the label {key} with the value {}, so this matches nobody",
                wanted.join(" or ")
            ))
        }
        Operator::In(_) | Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
    }
}
