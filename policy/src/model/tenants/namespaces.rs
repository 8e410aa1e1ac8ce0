//! The owner of a namespace: the first source that claims it, and the mode that holds for it.

use super::finding::quoted;
use super::{Finding, Tenant, annotated_mode, capsule};
use crate::model::{Config, Isolation, Labels, Namespace, Pod, TenantSource, Untenanted, World};

/// On a Tenant it overrides the configured mode, on a namespace it only tightens.
pub const ISOLATION_ANNOTATION: &str = "bulkhead.dev/isolation";

/// Whose a namespace is.
#[derive(Clone, Debug)]
pub(super) struct Owner<'a> {
    /// Keys of pod labels that come before the source of `tenant`.
    pod_labels: Vec<&'a str>,
    pub(super) pod_label_mode: Isolation,
    pub(super) tenant: Option<Tenant>,
    /// Of `tenant`, in [`super::Tenancy::tenants`].
    pub(super) index: Option<usize>,
    pub(super) mode: Isolation,
}

impl Owner<'_> {
    /// The tenant that a label of the pod names, where such a source is asked before the namespace's own.
    pub(super) fn by_pod_label(&self, pod: &Pod) -> Option<Tenant> {
        self.pod_labels.iter().find_map(|&key| {
            let value = pod.labels.get(key)?.to_string();
            Some(Tenant::PodLabel { key: key.to_owned(), namespace: pod.namespace.clone(), value })
        })
    }
}

/// Asks the sources in order. A disagreement within Capsule's marks ends the search.
pub(super) fn owner<'a>(
    world: &World,
    config: &'a Config,
    namespace: &Namespace,
    findings: &mut Vec<Finding>,
) -> Owner<'a> {
    let tightened = |mode: Isolation| annotated_mode(&namespace.annotations).map_or(mode, |own| own.max(mode));
    let mut owner = Owner {
        pod_labels: Vec::new(),
        pod_label_mode: tightened(config.mode),
        tenant: None,
        index: None,
        mode: tightened(config.mode),
    };
    for source in &config.sources {
        owner.tenant = match source {
            TenantSource::Capsule => match capsule::claim(world, namespace) {
                None => None,
                Some(Ok(tenant)) => {
                    owner.mode = tightened(annotated_mode(&tenant.annotations).unwrap_or(config.mode));
                    Some(Tenant::Capsule(tenant.name.clone()))
                }
                Some(Err(reason)) => {
                    findings.push(Finding::Quarantine { namespace: namespace.name.clone(), reason });
                    owner.mode = quarantine_mode(config.mode);
                    Some(Tenant::Quarantine(namespace.name.clone()))
                }
            },
            TenantSource::NamespaceLabel(key) => {
                named(&namespace.labels, key).map(|(key, value)| Tenant::NamespaceLabel { key, value })
            }
            TenantSource::NamespaceAnnotation(key) => {
                named(&namespace.annotations, key).map(|(key, value)| Tenant::NamespaceAnnotation { key, value })
            }
            TenantSource::PodLabel(key) => {
                owner.pod_labels.push(key);
                None
            }
        };
        if owner.tenant.is_some() {
            return owner;
        }
    }
    match config.untenanted {
        Untenanted::Platform => owner.mode = Isolation::Off,
        Untenanted::Isolated => owner.tenant = Some(Tenant::Namespace(namespace.name.clone())),
    }
    owner
}

/// Its own annotation does not count.
const fn quarantine_mode(configured: Isolation) -> Isolation {
    match configured {
        Isolation::Baseline | Isolation::Strict => Isolation::Strict,
        Isolation::Off | Isolation::Audit => configured,
    }
}

fn named(marks: &Labels, key: &str) -> Option<(String, String)> {
    marks.get(key).map(|value| (key.to_owned(), value.to_string()))
}

/// Annotations of Tenants and namespaces that name no mode.
pub(super) fn unknown_modes(world: &World) -> Vec<Finding> {
    let tenants = world.tenants.values().map(|it| ("tenant", &it.name, &it.annotations));
    let namespaces = world.namespaces.values().map(|it| ("namespace", &it.name, &it.annotations));
    tenants
        .chain(namespaces)
        .filter_map(|(kind, name, annotations)| {
            let value = annotations.get(ISOLATION_ANNOTATION)?;
            let unknown = || Finding::UnknownMode { object: format!("{kind}/{name}"), value: quoted(value) };
            Isolation::named(value).is_none().then(unknown)
        })
        .collect()
}
