//! The peers of a rule, and of a policy's subject.

use std::collections::BTreeSet;

use common::abi::Direction;
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use policy::model::{Action, ClusterPeer, Pods, Selector};

use super::{some, written};
use crate::ingest::check;
use crate::ingest::convert::Report;
use crate::ingest::convert::network_policy::range;
use crate::ingest::convert::selector::selector;

/// What a rule says beside its peers that some peers do not go with.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub direction: Direction,
    pub action: Option<Action>,
    /// True where it names ports.
    pub named: bool,
}

pub(super) fn peer(
    report: &mut Report<'_>,
    field: &str,
    written: &written::Peer,
    context: Context,
) -> Option<ClusterPeer> {
    match written {
        written::Peer { namespaces: Some(namespaces), pods: None, networks: None, nodes: None, domain_names: None } => {
            Some(ClusterPeer::Pods(self::namespaces(report, field, namespaces)))
        }
        written::Peer { namespaces: None, pods: Some(pods), networks: None, nodes: None, domain_names: None } => {
            Some(ClusterPeer::Pods(self::pods(report, field, pods)))
        }
        written::Peer { namespaces: None, pods: None, networks: Some(written), nodes: None, domain_names: None } => {
            addresses(report, &format!("{field}.networks"), context)?;
            networks(report, &format!("{field}.networks"), written).map(ClusterPeer::Networks)
        }
        written::Peer { namespaces: None, pods: None, networks: None, nodes: Some(nodes), domain_names: None } => {
            addresses(report, &format!("{field}.nodes"), context)?;
            Some(ClusterPeer::Nodes(selector(report, &format!("{field}.nodes"), nodes)))
        }
        written::Peer { namespaces: None, pods: None, networks: None, nodes: None, domain_names: Some(names) } => {
            addresses(report, &format!("{field}.domainNames"), context)?;
            domains(report, &format!("{field}.domainNames"), names, context).map(ClusterPeer::Domains)
        }
        written::Peer { .. } => {
            let kinds = match context.direction {
                Direction::Ingress => "namespaces and pods",
                Direction::Egress => "namespaces, pods, networks, nodes and domainNames",
            };
            report.error(field, format!("must name exactly one of {kinds}"));
            None
        }
    }
}

/// All pods of the namespaces.
pub(super) fn namespaces(report: &mut Report<'_>, field: &str, written: &LabelSelector) -> Pods {
    Pods { namespaces: readable(report, &format!("{field}.namespaces"), written), pods: Selector::default() }
}

pub(super) fn pods(report: &mut Report<'_>, field: &str, written: &written::NamespacedPod) -> Pods {
    let namespaces = written.namespace_selector.as_ref();
    let namespaces = namespaces.map(|it| readable(report, &format!("{field}.pods.namespaceSelector"), it));
    Pods {
        namespaces: namespaces.unwrap_or_default(),
        pods: readable(report, &format!("{field}.pods.podSelector"), &written.pod_selector),
    }
}

/// The selector; where it is not understood, everything.
fn readable(report: &mut Report<'_>, field: &str, written: &LabelSelector) -> Selector {
    report.whole(|report| Some(selector(report, field, written))).unwrap_or_default()
}

/// Peers that are addresses have no names for their ports, and are destinations only.
fn addresses(report: &mut Report<'_>, field: &str, context: Context) -> Option<()> {
    if context.direction == Direction::Ingress {
        report.error(field, "is not known in ingress, name namespaces or pods");
        return None;
    }
    if context.named {
        report.error(field, "has no names for ports, write the ports as numbers or this peer in another rule");
        return None;
    }
    Some(())
}

fn networks(report: &mut Report<'_>, field: &str, written: &[String]) -> Option<Vec<IpNet>> {
    some(report, field, "networks", written.len());
    unique(report, field, written);
    let networks = written.iter().enumerate();
    Some(networks.filter_map(|(index, text)| range(report, &format!("{field}[{index}]"), text)).collect())
}

fn domains(report: &mut Report<'_>, field: &str, names: &[String], context: Context) -> Option<Vec<String>> {
    some(report, field, "domain names", names.len());
    unique(report, field, names);
    if context.action.is_some_and(|action| action != Action::Accept) {
        report.error(field, "is possible in rules that accept alone, deny the networks instead");
        return None;
    }
    for (index, name) in names.iter().enumerate() {
        report.accept(format_args!("{field}[{index}]"), check::domain_pattern(name));
    }
    Some(names.to_vec())
}

fn unique(report: &mut Report<'_>, field: &str, written: &[String]) {
    let mut seen = BTreeSet::new();
    for (index, text) in written.iter().enumerate().filter(|(_, text)| !seen.insert(*text)) {
        report.error(format_args!("{field}[{index}]"), format!("`{text}` is there twice, keep one"));
    }
}
