//! ServiceCIDRs (`networking.k8s.io/v1`): where ClusterIPs come from.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1 as networking;

use super::super::{Report, Unknown};
use crate::ingest::check;

/// The ranges that are understood: each of them keeps an address from being taken for one outside of the cluster.
pub fn service_cidr(report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let written: networking::ServiceCIDR = report.parse(Unknown::Warn)?;
    report.labels("metadata", &written.metadata);
    report.annotations("metadata", &written.metadata);
    let written = written.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    let ranges = written.iter().enumerate();
    let ranges =
        ranges.filter_map(|(index, text)| report.accept(format_args!("spec.cidrs[{index}]"), check::range(text)));
    Some(ranges.map(|range| range.trunc()).collect())
}
