//! Tenants, in the words of CONTRACT.md §2 and §3.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use serde_json::Value;

use super::Seen;
use super::seen::{labels_of, name_of, namespace_of};

const TENANT_LABEL: &str = "capsule.clastix.io/tenant";
const ISOLATION: &str = "bulkhead.dev/isolation";

/// Equal names from different sources are different tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    source: String,
    name: String,
}

impl Tenant {
    pub fn is_quarantine(&self) -> bool {
        self.source == "quarantine"
    }
}

/// "off < audit < baseline < strict".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    Off,
    Audit,
    Baseline,
    Strict,
}

impl Isolation {
    /// "An unknown mode is […] `strict` in an annotation."
    fn named(name: &str) -> Self {
        match name {
            "off" => Self::Off,
            "audit" => Self::Audit,
            "baseline" => Self::Baseline,
            _ => Self::Strict,
        }
    }
}

/// Whose a pod is. Without a tenant it is the platform's own.
#[derive(Clone, Debug)]
pub struct Member {
    pub tenant: Option<Tenant>,
    pub isolation: Isolation,
}

impl Seen {
    /// "first match wins".
    pub(super) fn member(&self, pod: &Pod) -> Member {
        let namespace = self.namespace(pod).expect("a namespace that is known");
        let configured = Isolation::named(self.config["tenancy"]["mode"].as_str().unwrap_or("baseline"));
        let by_default = vec![serde_json::json!({"capsule": {}})];
        let sources = self.config["tenancy"]["sources"].as_array().unwrap_or(&by_default);
        if let Some(member) = sources.iter().find_map(|source| self.by_source(source, namespace, pod, configured)) {
            return member;
        }
        if self.config["tenancy"]["untenanted"] == "isolated" {
            let tenant = Tenant { source: "namespace".to_owned(), name: name_of(&namespace.metadata).to_owned() };
            return Member { tenant: Some(tenant), isolation: tightened(configured, namespace) };
        }
        Member { tenant: None, isolation: Isolation::Off }
    }

    fn by_source(&self, source: &Value, namespace: &Namespace, pod: &Pod, configured: Isolation) -> Option<Member> {
        let annotations = namespace.metadata.annotations.clone().unwrap_or_default();
        let (kind, key) = source.as_object().and_then(|source| source.iter().next()).expect("a source");
        let name = match (kind.as_str(), key.as_str().unwrap_or_default()) {
            ("capsule", _) => return self.by_capsule(namespace, configured),
            ("namespaceLabel", key) => labels_of(&namespace.metadata).get(key)?.clone(),
            ("namespaceAnnotation", key) => annotations.get(key)?.clone(),
            // "the tenant is NAMESPACE/VALUE"
            ("podLabel", key) => format!("{}/{}", namespace_of(&pod.metadata), labels_of(&pod.metadata).get(key)?),
            _ => panic!("{source} is no source"),
        };
        let tenant = Tenant { source: source.to_string(), name };
        Some(Member { tenant: Some(tenant), isolation: tightened(configured, namespace) })
    }

    fn by_capsule(&self, namespace: &Namespace, configured: Isolation) -> Option<Member> {
        let label = labels_of(&namespace.metadata).get(TENANT_LABEL).cloned();
        let references = namespace.metadata.owner_references.iter().flatten();
        let references: Vec<_> = references
            .filter(|it| it.kind == "Tenant" && it.api_version.split('/').next() == Some("capsule.clastix.io"))
            .collect();
        if label.is_none() && references.is_empty() {
            return None;
        }
        let tenant = label.as_ref().and_then(|name| self.tenants.iter().find(|it| it["metadata"]["name"] == **name));
        let live = tenant.and_then(|tenant| tenant["metadata"]["uid"].as_str());
        // "A Tenant without metadata.uid owns the namespaces that carry its label without an ownerReference."
        let owner = match (references.as_slice(), live) {
            ([], None) => tenant,
            ([one], Some(uid)) if one.uid == uid && Some(&one.name) == label.as_ref() => tenant,
            _ => None,
        };
        Some(match owner {
            Some(owner) => {
                let own = owner["metadata"]["annotations"][ISOLATION].as_str().map(Isolation::named);
                let isolation = tightened(own.unwrap_or(configured), namespace);
                let tenant = Tenant { source: "capsule".to_owned(), name: label.expect("an owner by its label") };
                Member { tenant: Some(tenant), isolation }
            }
            None => quarantined(namespace, configured),
        })
    }
}

/// "its mode is `strict` where `tenancy.mode` is `baseline` or `strict`, otherwise `tenancy.mode`; its own annotation is
/// ignored"
fn quarantined(namespace: &Namespace, configured: Isolation) -> Member {
    let tenant = Tenant { source: "quarantine".to_owned(), name: name_of(&namespace.metadata).to_owned() };
    let isolation = if configured >= Isolation::Baseline { Isolation::Strict } else { configured };
    Member { tenant: Some(tenant), isolation }
}

/// "a namespace's own annotation can only tighten"
fn tightened(mode: Isolation, namespace: &Namespace) -> Isolation {
    let annotations = namespace.metadata.annotations.as_ref();
    let own = annotations.and_then(|annotations| annotations.get(ISOLATION)).map(|name| Isolation::named(name));
    own.map_or(mode, |own| own.max(mode))
}
