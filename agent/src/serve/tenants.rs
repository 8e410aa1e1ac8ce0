//! The tenants of the cluster, as this node sees them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use common::abi::{DropKey, Mode};
use policy::model::Pod;
use policy::model::tenants::Tenancy;
use serde::{Deserialize, Serialize};

use super::Sources;
use crate::node::Status;

/// A tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantEntry {
    /// Empty for the platform's own.
    pub tenant: String,
    /// `off`, `audit`, `baseline` or `strict`: of its namespaces the strictest.
    pub mode: String,
    pub namespaces: BTreeSet<String>,
    pub pods: usize,
    /// Pods on this node.
    pub endpoints: usize,
    /// Packets from or to it that were dropped on this node.
    pub dropped_packets: u64,
}

/// Every tenant that has a pod, and the platform.
///
/// # Errors
/// The counters cannot be read.
pub(super) fn tenants(sources: &Sources) -> Result<Vec<TenantEntry>> {
    let status = sources.status();
    let Some(enforced) = status.enforced.clone() else { return Ok(Vec::new()) };
    let tenancy = Tenancy::of(&enforced.snapshot.world, &sources.config);
    let mut tenants: BTreeMap<String, (Mode, TenantEntry)> = BTreeMap::new();
    for pod in enforced.snapshot.world.pods.values().filter(|pod| !pod.host_network) {
        add(&mut tenants, &tenancy, pod, pod.node == status.node);
    }
    for (key, traffic) in sources.maps()?.drops()?.iter().filter(|(key, _)| !key.is_audited()) {
        for name in ends(*key, &status) {
            if let Some((_, entry)) = tenants.get_mut(&name) {
                entry.dropped_packets += traffic.packets;
            }
        }
    }
    let named = |(mode, entry): (Mode, TenantEntry)| TenantEntry { mode: mode.name().to_owned(), ..entry };
    Ok(tenants.into_values().map(named).collect())
}

fn add(tenants: &mut BTreeMap<String, (Mode, TenantEntry)>, tenancy: &Tenancy<'_>, pod: &Pod, local: bool) {
    let Some(membership) = tenancy.membership(pod) else { return };
    let name = membership.tenant.and_then(|tenant| tenancy.names().get(tenant).cloned()).unwrap_or_default();
    let (mode, entry) = tenants.entry(name.clone()).or_default();
    *mode = membership.mode.max(*mode);
    entry.tenant = name;
    entry.namespaces.insert(pod.namespace.clone());
    entry.pods += 1;
    entry.endpoints += usize::from(local);
}

/// The tenants at both ends of a counter, once where they are one.
fn ends(key: DropKey, status: &Status) -> BTreeSet<String> {
    [key.source(), key.destination()].into_iter().map(|tenant| status.tenant_name(tenant).unwrap_or_default()).collect()
}
