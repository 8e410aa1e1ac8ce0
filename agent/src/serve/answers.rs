//! What the socket answers, as JSON: the commands print the same with `-o json`.

use anyhow::Result;
use common::abi::{DropKey, Traffic};
use policy::compile::{Desired, Provenance};
use policy::plan::{Observed, diff};
use serde::{Deserialize, Serialize};

use super::Sources;

/// An answer that is a list.
#[derive(Clone, Debug, Serialize)]
pub struct Answer<T> {
    pub kind: &'static str,
    pub items: Vec<T>,
}

/// Packets that were dropped under one set of names, or would have been.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterEntry {
    pub direction: String,
    /// Empty for the platform and for what is outside the cluster.
    pub source_tenant: String,
    pub destination_tenant: String,
    pub reason: String,
    /// They passed: tenancy is in audit mode.
    pub audited: bool,
    pub packets: u64,
    pub bytes: u64,
}

/// Every counter of drops.
///
/// # Errors
/// The counters cannot be read.
pub(super) fn counters(sources: &Sources) -> Result<Vec<CounterEntry>> {
    let status = sources.status();
    let entry = |(key, traffic): (DropKey, Traffic)| CounterEntry {
        direction: key.direction().name().to_owned(),
        source_tenant: status.tenant_name(key.source()).unwrap_or_default(),
        destination_tenant: status.tenant_name(key.destination()).unwrap_or_default(),
        reason: key.reason().map_or("unknown", |reason| reason.name()).to_owned(),
        audited: key.is_audited(),
        packets: traffic.packets,
        bytes: traffic.bytes,
    };
    Ok(sources.maps()?.drops()?.into_iter().map(entry).collect())
}

/// Everything that the kernel holds: the operations that would write it anew.
///
/// # Errors
/// The maps cannot be read.
pub(super) fn dump(sources: &Sources) -> Result<Vec<String>> {
    let maps = sources.maps()?;
    let Observed { tables, ids, .. } = maps.observe()?;
    let held = Desired { tables, ids, provenance: Provenance::default() };
    let plan = diff(&Observed::default(), &held, &maps.capacities()?)?;
    Ok(plan.ops.iter().map(ToString::to_string).collect())
}
