//! How long things take: histograms that the loop fills and the metrics show (CONTRACT.md §6).

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Handles: clones of it share the histograms.
#[derive(Clone, Debug)]
pub struct Timings {
    /// From a watch event to the maps.
    pub policy_implementation_delay: Histogram,
    /// From the first sight of a veth to both programs on it and its endpoint in the maps.
    pub attach_delay: Histogram,
    pub compile: Histogram,
    pub apply: Histogram,
}

impl Default for Timings {
    fn default() -> Self {
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            policy_implementation_delay: histogram(),
            attach_delay: histogram(),
            compile: histogram(),
            apply: histogram(),
        }
    }
}
