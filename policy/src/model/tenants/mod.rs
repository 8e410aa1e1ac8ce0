//! Which tenant a pod belongs to, and how that tenant is held apart (DESIGN.md §5, CONTRACT.md §2 and §3).

mod capsule;
mod display;
mod finding;
mod namespaces;

use std::collections::{BTreeMap, HashMap};

pub use finding::{Finding, QuarantineReason};
pub use namespaces::ISOLATION_ANNOTATION;

use self::namespaces::Owner;
use super::{Config, Isolation, Labels, Pod, TenantSource, World};

/// Whose a pod is. Equal names from different sources are different tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tenant {
    /// A Capsule Tenant, by name.
    Capsule(String),
    /// The value of a namespace's label.
    NamespaceLabel { key: String, value: String },
    /// The value of a namespace's annotation.
    NamespaceAnnotation { key: String, value: String },
    /// The value of a pod's label, which is forgeable across namespaces: the namespace is part of the tenant.
    PodLabel { key: String, namespace: String, value: String },
    /// A namespace without a tenant under `untenanted: isolated`.
    Namespace(String),
    /// A namespace whose marks of a Capsule Tenant disagree.
    Quarantine(String),
}

impl Tenant {
    #[must_use]
    pub const fn is_quarantine(&self) -> bool {
        matches!(self, Self::Quarantine(_))
    }
}

/// A tenant in [`Tenancy::tenants`], and how the pods of one of its namespaces are held apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// Index into [`Tenancy::tenants`]; `None` is the platform.
    pub tenant: Option<usize>,
    /// [`Isolation::Off`] for the platform.
    pub mode: Isolation,
}

/// Whose the pods of one namespace are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamespaceTenancy<'t> {
    tenancy: &'t Tenancy<'t>,
    owner: &'t Owner<'t>,
}

impl NamespaceTenancy<'_> {
    /// As [`Tenancy::of_namespace`].
    pub(crate) fn tenant(self) -> Option<usize> {
        self.owner.index
    }

    pub(crate) fn membership(self, pod: &Pod) -> Membership {
        let Self { tenancy, owner } = self;
        match owner.by_pod_label(pod) {
            Some(tenant) => Membership { tenant: tenancy.index.get(&tenant).copied(), mode: owner.pod_label_mode },
            None => Membership { tenant: owner.index, mode: owner.mode },
        }
    }
}

/// The tenants of a world, and whose each pod is.
#[derive(Clone, Debug)]
pub struct Tenancy<'a> {
    tenants: Vec<Tenant>,
    names: Vec<String>,
    owners: BTreeMap<&'a str, Owner<'a>>,
    index: HashMap<Tenant, usize>,
    findings: Vec<Finding>,
}

impl<'a> Tenancy<'a> {
    #[must_use]
    pub fn of(world: &'a World, config: &'a Config) -> Self {
        let mut findings = Vec::new();
        let mut owners: BTreeMap<_, _> = world
            .namespaces
            .iter()
            .map(|(name, namespace)| (name.as_str(), namespaces::owner(world, config, namespace, &mut findings)))
            .collect();
        findings.extend(namespaces::unknown_modes(world));
        let mut tenants: Vec<Tenant> = owners.values().filter_map(|owner| owner.tenant.clone()).collect();
        if config.sources.iter().any(|source| matches!(source, TenantSource::PodLabel(_))) {
            let by_label = |pod: &Pod| owners.get(pod.namespace.as_str())?.by_pod_label(pod);
            tenants.extend(world.pods.values().filter_map(by_label));
        }
        tenants.sort_unstable();
        tenants.dedup();
        let index: HashMap<Tenant, usize> = tenants.iter().cloned().zip(0..).collect();
        for owner in owners.values_mut() {
            owner.index = owner.tenant.as_ref().and_then(|tenant| index.get(tenant)).copied();
        }
        let names = display::names(&tenants);
        Self { tenants, names, owners, index, findings }
    }

    /// Whose the pod is; `None` where its Namespace is not known, which makes it an unknown pod.
    #[must_use]
    pub fn membership(&self, pod: &Pod) -> Option<Membership> {
        Some(self.in_namespace(&pod.namespace)?.membership(pod))
    }

    /// For asking about pods of one namespace; `None` where it is not known.
    pub(crate) fn in_namespace(&self, name: &str) -> Option<NamespaceTenancy<'_>> {
        self.owners.get(name).map(|owner| NamespaceTenancy { tenancy: self, owner })
    }

    /// The same for every namespace, in the order of their names.
    pub(crate) fn by_namespace(&self) -> impl Iterator<Item = NamespaceTenancy<'_>> {
        self.owners.values().map(|owner| NamespaceTenancy { tenancy: self, owner })
    }

    /// The tenant of a namespace, whose policies are that tenant's; `None` for the platform.
    #[must_use]
    pub fn of_namespace(&self, name: &str) -> Option<usize> {
        self.owners.get(name)?.index
    }

    /// Every tenant that some namespace or pod belongs to, sorted.
    #[must_use]
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// The names that people read, in the order of [`Tenancy::tenants`]; no two are equal.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What somebody should look at: quarantined namespaces, annotations that name no mode.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// The value of an isolation annotation: `None` without one, `Strict` where it names no mode.
fn annotated_mode(annotations: &Labels) -> Option<Isolation> {
    let value = annotations.get(ISOLATION_ANNOTATION)?;
    Some(Isolation::named(value).unwrap_or(Isolation::Strict))
}
