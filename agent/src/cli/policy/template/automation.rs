//! One object that Capsule (v1beta2) keeps in every namespace of a Tenant, also in those that come later.

use anyhow::{Context, Result};
use policy::ask::Proposal;
use policy::model::NetworkPolicy;
use serde::Serialize;
use serde_yaml_ng::Value;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GlobalTenantResource {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    tenant_selector: TenantSelector,
    resync_period: &'static str,
    pruning_on_delete: bool,
    resources: [Resources; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TenantSelector {
    match_labels: MatchName,
}

/// Capsule gives every Tenant its name as a label (`internal/controllers/tenant/metadata.go`).
#[derive(Serialize)]
struct MatchName {
    #[serde(rename = "kubernetes.io/metadata.name")]
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    raw_items: [Value; 1],
}

pub(super) fn global_tenant_resource(tenant: &str, policy: &NetworkPolicy) -> Result<String> {
    let name = format!("{tenant}-{}", policy.name);
    let mut item = serde_yaml_ng::to_value(Proposal::NetworkPolicy(policy.clone())).context("cannot write YAML")?;
    // Capsule says which namespace.
    if let Some(metadata) = item.get_mut("metadata").and_then(Value::as_mapping_mut) {
        metadata.remove("namespace");
    }
    let object = GlobalTenantResource {
        api_version: "capsule.clastix.io/v1beta2",
        kind: "GlobalTenantResource",
        metadata: Metadata { name },
        spec: Spec {
            tenant_selector: TenantSelector { match_labels: MatchName { name: tenant.to_owned() } },
            resync_period: "60s",
            pruning_on_delete: true,
            resources: [Resources { raw_items: [item] }],
        },
    };
    serde_yaml_ng::to_string(&object).context("cannot write YAML")
}
