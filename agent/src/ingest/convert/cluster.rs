//! What pods live in: Namespaces, Nodes and Capsule's Tenants.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, ObjectMeta};
use policy::model::{CapsuleTenant, Labels, Namespace, Node, OwnerReference};
use serde::Deserialize;

use super::{Report, Unknown};
use crate::ingest::check;
use crate::ingest::kind::OLD_TENANT;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A namespace with its name as a label, whatever the file says: the API server sets it.
pub fn namespace(report: &mut Report<'_>) -> Option<Namespace> {
    let written: core::Namespace = report.parse(Unknown::Warn)?;
    let name = report.manifest.id.name.clone();
    let mut labels = report.labels("metadata", &written.metadata);
    labels.insert(NAME_LABEL.into(), name.as_str().into());
    let annotations = report.annotations("metadata", &written.metadata);
    let terminating = written.metadata.deletion_timestamp.is_some();
    let references = written.metadata.owner_references.unwrap_or_default();
    check_references(report, &references);
    let tenant_references = references
        .into_iter()
        .filter(|reference| reference.kind == "Tenant" && reference.api_version.starts_with("capsule.clastix.io/"))
        .map(|reference| OwnerReference { name: reference.name, uid: reference.uid })
        .collect();
    Some(Namespace { name, labels, annotations, tenant_references, terminating })
}

fn check_references(report: &mut Report<'_>, references: &[meta::OwnerReference]) {
    const FIELD: &str = "metadata.ownerReferences";
    for (index, reference) in references.iter().enumerate() {
        let meta::OwnerReference { api_version, kind, name, uid, .. } = reference;
        for (field, text) in [("apiVersion", api_version), ("kind", kind), ("name", name), ("uid", uid)] {
            if text.is_empty() {
                report.error(format_args!("{FIELD}[{index}].{field}"), "is required");
            }
        }
    }
    if references.iter().filter(|reference| reference.controller == Some(true)).count() > 1 {
        report.error(FIELD, "name more than one controller, leave the one that manages the object");
    }
}

/// A namespace that no file describes and some object is in.
pub fn implied_namespace(name: &str) -> Namespace {
    Namespace {
        name: name.to_owned(),
        labels: Labels::from_iter([(NAME_LABEL.into(), name.into())]),
        ..Namespace::default()
    }
}

/// The fields of a Capsule Tenant that isolation depends on.
#[derive(Deserialize)]
struct Tenant {
    #[serde(default)]
    metadata: ObjectMeta,
}

pub fn tenant(report: &mut Report<'_>) -> Option<CapsuleTenant> {
    if report.manifest.value["apiVersion"] == OLD_TENANT {
        report.warn("apiVersion", format!("{OLD_TENANT} is an old version, use capsule.clastix.io/v1beta2"));
    }
    // The rest of a Tenant is Capsule's: nothing is said about fields that are not read.
    let Tenant { metadata } = report.parse(Unknown::Ignore)?;
    report.labels("metadata", &metadata);
    let annotations = report.annotations("metadata", &metadata);
    Some(CapsuleTenant { name: report.manifest.id.name.clone(), uid: metadata.uid, annotations })
}

/// A Node, and which of its addresses are internal: those are what its hostNetwork pods have.
pub fn node(report: &mut Report<'_>) -> Option<(Node, Vec<IpAddr>)> {
    let written: core::Node = report.parse(Unknown::Warn)?;
    let labels = report.labels("metadata", &written.metadata);
    let pod_cidrs = pod_cidrs(report, &written.spec.unwrap_or_default());
    let mut node = Node { name: report.manifest.id.name.clone(), labels, addresses: Vec::new(), pod_cidrs };
    let mut internal = Vec::new();
    let addresses = written.status.and_then(|status| status.addresses).unwrap_or_default();
    for (index, written) in addresses.iter().enumerate() {
        let is_internal = written.type_ == "InternalIP";
        if !is_internal && written.type_ != "ExternalIP" {
            continue;
        }
        let field = format!("status.addresses[{index}].address");
        let Some(address) = report.accept(field, check::address(&written.address)) else { continue };
        node.addresses.push(address);
        if is_internal {
            internal.push(address);
        }
    }
    Some((node, internal))
}

/// `podCIDRs`, or `podCIDR` alone.
fn pod_cidrs(report: &mut Report<'_>, spec: &core::NodeSpec) -> Vec<IpNet> {
    let all = spec.pod_cidrs.as_deref().unwrap_or_default();
    let mut written: Vec<_> =
        all.iter().enumerate().map(|(index, text)| (format!("spec.podCIDRs[{index}]"), text)).collect();
    if written.is_empty() {
        written.extend(spec.pod_cidr.iter().map(|text| ("spec.podCIDR".to_owned(), text)));
    }
    if let (Some(first), Some(one)) = (all.first(), &spec.pod_cidr)
        && first != one
    {
        report.error("spec.podCIDR", format!("{one} must be the first of spec.podCIDRs, {first}"));
    }
    let mut ranges: Vec<IpNet> = Vec::new();
    for (field, text) in written {
        let Some(range) = report.accept(&field, check::range(text)) else { continue };
        if ranges.iter().any(|other| other.network().is_ipv4() == range.network().is_ipv4()) {
            report.error(&field, format!("{text} is a second range of its family, keep one"));
        }
        ranges.push(range.trunc());
    }
    ranges
}
