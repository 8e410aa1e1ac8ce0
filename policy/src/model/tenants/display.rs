//! The names that people read: short ones, unless two tenants would share one.

use std::collections::BTreeMap;
use std::hash::Hash;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::Tenant;
use crate::model::{is_printable, printable};

/// Bytes of a name: what Kubernetes allows for one. An annotation may hold a thousand times as much, and names are labels
/// of metrics.
const LONGEST: usize = 253;
/// Bytes at the start of a longer one; behind it is what tells it from others.
const START: usize = 96;

/// A name for each tenant, all different.
pub(super) fn names(tenants: &[Tenant]) -> Vec<String> {
    let mut claims: BTreeMap<String, usize> = BTreeMap::new();
    for tenant in tenants {
        *claims.entry(short(tenant)).or_default() += 1;
    }
    let name = |tenant: &Tenant| {
        let short = short(tenant);
        let keeps_short = matches!(tenant, Tenant::Capsule(_) | Tenant::Quarantine(_));
        let unclear = short.is_empty() || short.contains(['=', ':']) || claims.get(&short).is_some_and(|&n| n > 1);
        if unclear && !keeps_short { long(tenant) } else { short }
    };
    tenants.iter().map(name).collect()
}

fn short(tenant: &Tenant) -> String {
    shown(plain(tenant))
}

/// On one line, and unlike any other value: an annotation may hold anything.
fn shown(value: String) -> String {
    if value.len() > LONGEST {
        let mut hasher = SipHasher24::new();
        value.hash(&mut hasher);
        let start = &value[..value.floor_char_boundary(START)];
        return format!("{}…{:032x}", escaped(start.to_owned()), hasher.finish128().as_u128());
    }
    escaped(value)
}

fn escaped(value: String) -> String {
    if value.chars().all(|character| is_printable(character) && character != '\\') {
        return value;
    }
    printable(&value.replace('\\', "\\\\")).into_owned()
}

fn plain(tenant: &Tenant) -> String {
    match tenant {
        Tenant::Capsule(name) | Tenant::Namespace(name) => name.clone(),
        Tenant::NamespaceLabel { value, .. } | Tenant::NamespaceAnnotation { value, .. } => value.clone(),
        Tenant::PodLabel { namespace, value, .. } => format!("{namespace}/{value}"),
        Tenant::Quarantine(namespace) => format!("quarantine:{namespace}"),
    }
}

/// Unlike every other tenant's: label keys and namespaces hold neither `:` nor `=`, nor do the short names
/// that are kept.
fn long(tenant: &Tenant) -> String {
    match tenant {
        Tenant::Capsule(_) | Tenant::Quarantine(_) => short(tenant),
        Tenant::NamespaceLabel { key, value } => shown(format!("{key}={value}")),
        Tenant::NamespaceAnnotation { key, value } => shown(format!("annotation:{key}={value}")),
        Tenant::PodLabel { key, namespace, value } => shown(format!("pod:{key}={namespace}/{value}")),
        Tenant::Namespace(name) => format!("namespace:{name}"),
    }
}
