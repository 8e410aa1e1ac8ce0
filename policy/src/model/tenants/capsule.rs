//! Capsule: a namespace belongs to a Tenant when its label and its ownerReference agree on a live one.

use super::finding::{QuarantineReason, quoted};
use crate::model::{CapsuleTenant, Namespace, World};

const LABEL: &str = "capsule.clastix.io/tenant";

/// What the marks of Capsule on a namespace say; `None` where it has none.
pub(super) fn claim<'a>(
    world: &'a World,
    namespace: &Namespace,
) -> Option<Result<&'a CapsuleTenant, QuarantineReason>> {
    let label = namespace.labels.get(LABEL).map(AsRef::as_ref);
    match (label, namespace.tenant_references.as_slice()) {
        (None, []) => None,
        (_, [_, _, ..]) => Some(Err(QuarantineReason::SeveralReferences { count: namespace.tenant_references.len() })),
        (None, [reference]) => Some(Err(QuarantineReason::ReferenceWithoutLabel { tenant: quoted(&reference.name) })),
        (Some(label), []) => Some(by_label_alone(world, label)),
        (Some(label), [reference]) => {
            if label != reference.name {
                let (label, reference) = (label.to_owned(), quoted(&reference.name));
                return Some(Err(QuarantineReason::OtherName { label, reference }));
            }
            Some(by_reference(world, label, &reference.uid))
        }
    }
}

/// A Tenant without a uid, which only a file can hold, owns the namespaces that carry its label alone.
fn by_label_alone<'a>(world: &'a World, name: &str) -> Result<&'a CapsuleTenant, QuarantineReason> {
    match world.tenants.get(name) {
        None => Err(QuarantineReason::NoSuchTenant { tenant: name.to_owned() }),
        Some(tenant) if tenant.uid.is_none() => Ok(tenant),
        Some(_) => Err(QuarantineReason::LabelWithoutReference { tenant: name.to_owned() }),
    }
}

fn by_reference<'a>(world: &'a World, name: &str, uid: &str) -> Result<&'a CapsuleTenant, QuarantineReason> {
    let tenant = world.tenants.get(name).ok_or_else(|| QuarantineReason::NoSuchTenant { tenant: name.to_owned() })?;
    match tenant.uid.as_deref() {
        None => Err(QuarantineReason::TenantWithoutUid { tenant: name.to_owned() }),
        Some(live) if live == uid && !uid.is_empty() => Ok(tenant),
        Some(_) => Err(QuarantineReason::WrongUid { tenant: name.to_owned() }),
    }
}
