//! `/metrics`: read at each scrape, so that every figure is of that moment.

mod names;
mod node;
mod traffic;

use anyhow::{Context, Result};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use names::{METRICS, Metric, MetricKind};

use super::Sources;

/// Of what [`scrape`] returns.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads every figure. It blocks while it reads the kernel's maps.
///
/// # Errors
/// The maps cannot be read.
pub(super) fn scrape(sources: &Sources) -> Result<String> {
    let mut registry = Registry::with_prefix("bulkhead");
    let status = sources.status();
    registry.register_collector(Box::new(traffic::Reading::take(sources, &status)?));
    registry.register_collector(Box::new(node::Reading::take(sources, &status)));
    let timings = &sources.timings;
    for (metric, histogram) in [
        (names::POLICY_DELAY, &timings.policy_implementation_delay),
        (names::ATTACH_DELAY, &timings.attach_delay),
        (names::COMPILE, &timings.compile),
        (names::APPLY, &timings.apply),
    ] {
        registry.register(metric.family(), metric.about, histogram.clone());
    }
    let mut text = String::new();
    encode(&mut text, &registry).context("the metrics cannot be written")?;
    Ok(text)
}
