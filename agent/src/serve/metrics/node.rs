//! What the agent knows of its node and of the cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use common::abi;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::names::{self, Values};
use crate::node::{EndpointState, Status};
use crate::serve::Sources;
use crate::watch::Resource;

/// The agent at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    status: Arc<Status>,
    ages: Vec<(Resource, Duration)>,
    bytes: Vec<(Resource, u64)>,
}

impl Reading {
    pub(super) fn take(sources: &Sources, status: &Arc<Status>) -> Self {
        Self { status: Arc::clone(status), ages: sources.watch.ages(), bytes: sources.watch.bytes() }
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, status) = (&mut encoder, &self.status);
        let endpoints = EndpointState::ALL.map(|state| (vec![state.name().to_owned()], status.count(state) as u64));
        let barred = (vec!["barred".to_owned()], status.barred as u64);
        names::ENDPOINTS.encode(encoder, endpoints.into_iter().chain([barred]))?;
        let policies = status.policies.iter().flat_map(|count| {
            let row = |state: &str, number: usize| (vec![count.kind.to_owned(), state.to_owned()], number as u64);
            [row("enforced", count.enforced), row("rejected", count.rejected)]
        });
        names::POLICIES.encode(encoder, policies)?;
        let snapshot = status.enforced.iter().map(|enforced| &enforced.snapshot);
        let rejected = snapshot.flat_map(|it| Resource::ALL.map(|of| (of.kind(), it.rejected_of(of.kind()))));
        let rejected = rejected.map(|(kind, number)| (vec![kind.name().to_owned()], number as u64));
        names::REJECTED.encode(encoder, rejected)?;
        names::DRIFT_REPAIRED.encode(encoder, [(Values::new(), status.drift_repaired)])?;
        let resource = |resource: &Resource| vec![resource.plural().to_owned()];
        let ages = self.ages.iter().map(|(of, age)| (resource(of), age.as_secs()));
        names::WORLD_AGE.encode(encoder, ages)?;
        names::WATCHED_BYTES.encode(encoder, self.bytes.iter().map(|(of, bytes)| (resource(of), *bytes)))?;
        let version = vec![env!("CARGO_PKG_VERSION").to_owned(), abi::VERSION.to_string()];
        names::BUILD_INFO.encode(encoder, [(version, 1)])
    }
}
