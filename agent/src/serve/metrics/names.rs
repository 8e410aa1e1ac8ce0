//! Every metric (CONTRACT.md §6), once: what is served is encoded from here, and the reference written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// A metric, without the prefix `bulkhead_`.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As it is served, a counter's `_total` included.
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const DROP: &[&str] = &["direction", "source_tenant", "destination_tenant", "reason"];

pub const DROPPED_PACKETS: Metric = counter(
    "dropped_packets_total",
    DROP,
    "Packets that were dropped. A tenant is empty for the platform and for what is outside the cluster, and `other` for \
     pairs that found no room.",
);
pub const DROPPED_BYTES: Metric =
    counter("dropped_bytes_total", DROP, "Bytes of packets that were dropped, Ethernet headers included");
pub const AUDITED_PACKETS: Metric =
    counter("audited_packets_total", DROP, "Packets that passed and that tenancy in mode `audit` would have dropped");
pub const FORWARDED_PACKETS: Metric = counter("forwarded_packets_total", &["direction"], "Packets that passed");
pub const FORWARDED_BYTES: Metric =
    counter("forwarded_bytes_total", &["direction"], "Bytes of packets that passed, Ethernet headers included");
pub const FLOWS_CUT: Metric = counter("flows_cut_total", &[], "Live flows that a change of policy cut");
pub const FLOWS_UNTRACKED: Metric = counter(
    "flows_untracked_total",
    &[],
    "Flows that could not be entered into the table: each of their packets is judged",
);
pub const CONNTRACK_EVICTIONS: Metric = counter(
    "conntrack_evictions_total",
    &[],
    "Flows that were not established and left the table early, to make room for newer ones",
);
pub const EVENTS_LOST: Metric =
    counter("events_lost_total", &[], "Drops that no event tells of, because of the rate limit or a slow reader");
pub const DRIFT_REPAIRED: Metric = counter(
    "drift_repaired_total",
    &[],
    "Records in the kernel's maps that were not what this agent wrote, and were repaired",
);
pub const ENDPOINTS: Metric =
    gauge("endpoints", &["state"], "Veths of pods on this node; one that is barred drops everything");
pub const POLICIES: Metric =
    gauge("policies", &["kind", "state"], "Policies of the cluster; one that is rejected fails closed");
pub const REJECTED: Metric = gauge(
    "rejected_objects",
    &["kind"],
    "Objects that are not taken as they stand, because they are not understood or over their owner's share",
);
pub const MAP_ENTRIES: Metric = gauge("map_entries", &["map"], "Entries of a map of the kernel's");
pub const MAP_CAPACITY: Metric = gauge("map_capacity", &["map"], "Entries that a map has room for");
pub const WORLD_AGE: Metric =
    gauge("world_age_seconds", &["resource"], "How long ago the API server was last heard of a resource");
pub const WATCHED_BYTES: Metric = counter("watched_bytes_total", &["resource"], "Bytes that came from the API server");
pub const BUILD_INFO: Metric = gauge("build_info", &["version", "abi"], "Always 1");
pub const POLICY_DELAY: Metric = histogram(
    "policy_implementation_delay_seconds",
    "From an event of the API server's to its effect in the kernel's maps",
);
pub const ATTACH_DELAY: Metric = histogram("attach_delay_seconds", "From the first sight of a veth to its enforcement");
pub const COMPILE: Metric = histogram("compile_seconds", "From a world to what the maps should hold");
pub const APPLY: Metric = histogram("apply_seconds", "From that to the maps, one grace period of a second included");

/// All of them, in the order of the reference.
pub const METRICS: [Metric; 22] = [
    DROPPED_PACKETS,
    DROPPED_BYTES,
    AUDITED_PACKETS,
    FORWARDED_PACKETS,
    FORWARDED_BYTES,
    FLOWS_CUT,
    FLOWS_UNTRACKED,
    CONNTRACK_EVICTIONS,
    EVENTS_LOST,
    ENDPOINTS,
    POLICIES,
    REJECTED,
    POLICY_DELAY,
    ATTACH_DELAY,
    COMPILE,
    APPLY,
    DRIFT_REPAIRED,
    MAP_ENTRIES,
    MAP_CAPACITY,
    WORLD_AGE,
    WATCHED_BYTES,
    BUILD_INFO,
];

const fn counter(name: &'static str, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, about }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, about }
}

const fn histogram(name: &'static str, about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels: &[], about }
}

/// A row's labels, in the order of [`Metric::labels`].
pub type Values = Vec<String>;

impl Metric {
    /// The name as a registry wants it, which adds a counter's suffix by itself.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }

    /// Encodes rows of whole numbers.
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        rows: impl IntoIterator<Item = (Values, u64)>,
    ) -> fmt::Result {
        let kind = if self.kind == MetricKind::Counter { MetricType::Counter } else { MetricType::Gauge };
        let mut family = encoder.encode_descriptor(self.family(), self.about, None, kind)?;
        for (values, number) in rows {
            let labels: Vec<(&str, String)> = self.labels.iter().copied().zip(values).collect();
            self.encode_row(&mut family, &labels, number)?;
        }
        Ok(())
    }

    fn encode_row(&self, family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, number: u64) -> fmt::Result {
        /// No row carries an example of what it counts.
        const NONE: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
        let write = |row: &mut MetricEncoder<'_>| match self.kind {
            MetricKind::Counter => row.encode_counter(&number, NONE),
            MetricKind::Gauge | MetricKind::Histogram => row.encode_gauge(&number),
        };
        if self.labels.is_empty() { write(family) } else { write(&mut family.encode_family(labels)?) }
    }
}
