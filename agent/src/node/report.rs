//! From the state of the loop to what others see of it.

use std::sync::Arc;
use std::time::Duration;

use common::abi::Endpoint;
use jiff::{SignedDuration, Timestamp};

use super::rivals;
use super::run::{Cluster, Node};
use super::status::{EndpointState, EndpointStatus, Enforced, Enforcement, PolicyCount, Status};
use crate::discover::Bound;
use crate::ingest::Kind;
use crate::watch::Snapshot;

/// The API server says something about each resource every minute, if only that nothing has changed.
const SILENCE: Duration = Duration::from_secs(150);
/// Problems with objects that the status tells of.
const REJECTIONS: usize = 20;

impl Node {
    /// Publishes the status.
    pub(super) fn tell(&self, cluster: &impl Cluster, snapshot: Option<&Snapshot>) {
        let enforced = self.enforced.as_deref();
        let endpoint = |(&ifindex, bound)| self.endpoint(ifindex, bound);
        let excesses = enforced.iter().flat_map(|it| &it.compiled.excesses).map(ToString::to_string);
        let rejected = enforced.iter().flat_map(|it| rejections(it));
        let rivals = enforced.iter().flat_map(|it| rivals::findings(&it.snapshot.world, &self.options.node));
        self.status.send_replace(Arc::new(Status {
            node: self.options.node.clone(),
            enforcement: self.enforcement(cluster, snapshot),
            rewriting: self.datapath.rewriting(),
            endpoints: self.veths.bindings.bound.iter().map(endpoint).collect(),
            findings: self
                .veths
                .findings
                .iter()
                .map(ToString::to_string)
                .chain(excesses)
                .chain(rejected)
                .chain(rivals)
                .collect(),
            barred: self.veths.barred().count(),
            policies: enforced.map(policies).unwrap_or_default(),
            publication: self.publication.clone(),
            drift_repaired: self.drift_repaired,
            error: self.error.clone(),
            enforced: self.enforced.clone(),
        }));
    }

    /// What keeps this node from enforcing the newest world, with the remedy. Never empty before a world is in force.
    fn missing(&self, cluster: &impl Cluster, snapshot: Option<&Snapshot>) -> Vec<String> {
        let mut missing = self.missing_for(cluster, snapshot);
        if missing.is_empty() && self.enforced.is_none() {
            missing.push("the first world is not in force yet".to_owned());
        }
        missing
    }

    fn missing_for(&self, cluster: &impl Cluster, snapshot: Option<&Snapshot>) -> Vec<String> {
        let node = &self.options.node;
        let Some(Snapshot { world, .. }) = snapshot else { return cluster.missing() };
        if !world.nodes.contains_key(node) {
            return vec![format!("no Node is named {node}: give its name with --node-name")];
        }
        if world.pod_ranges(&self.options.settings.policy).is_empty() {
            return vec!["no Node has spec.podCIDRs: set cluster.podCIDRs in the configuration".to_owned()];
        }
        Vec::new()
    }

    fn enforcement(&self, cluster: &impl Cluster, snapshot: Option<&Snapshot>) -> Enforcement {
        let missing = self.missing(cluster, snapshot);
        if !missing.is_empty() {
            return Enforcement::AwaitingSync { missing };
        }
        let silence = cluster.silence();
        if silence < SILENCE {
            return Enforcement::Enforcing;
        }
        let silence = SignedDuration::try_from(silence).unwrap_or(SignedDuration::MAX);
        Enforcement::Stale { since: Timestamp::now().checked_sub(silence).unwrap_or(Timestamp::UNIX_EPOCH) }
    }

    fn endpoint(&self, ifindex: u32, bound: &Bound) -> EndpointStatus {
        let problem = self.veths.problem(ifindex);
        let record = self.enforced.as_deref().and_then(|enforced| record(enforced, bound));
        let state = match record {
            _ if problem.is_some() => EndpointState::Failed,
            Some(record) if bound.pod.is_some() && !record.is(Endpoint::PENDING) && self.veths.is_attached(ifindex) => {
                EndpointState::Enforced
            }
            _ => EndpointState::Pending,
        };
        EndpointStatus {
            id: bound.id,
            ifindex,
            veth: bound.veth.clone(),
            addresses: bound.addresses.clone(),
            pod: bound.pod.clone(),
            tenant: self.enforced.as_deref().and_then(|enforced| tenant(enforced, bound)),
            state,
            since: bound.since,
            attach_delay: self.veths.delay(ifindex),
            problem,
        }
    }
}

fn record<'a>(enforced: &'a Enforced, bound: &Bound) -> Option<&'a Endpoint> {
    enforced.compiled.desired.tables.endpoints.get(&bound.slot).filter(|record| record.id == bound.id)
}

fn tenant(enforced: &Enforced, bound: &Bound) -> Option<String> {
    let desired = &enforced.compiled.desired;
    let profile = desired.tables.profile_of(bound.slot)?;
    desired.provenance.tenants.get(&profile.tenant).cloned()
}

fn policies(enforced: &Enforced) -> Vec<PolicyCount> {
    let Snapshot { world, .. } = enforced.snapshot.as_ref();
    let rejected = |kind: Kind| enforced.snapshot.rejected_of(kind);
    // A NetworkPolicy that is rejected is another kind of value in the world, a ClusterNetworkPolicy is not.
    let cluster = rejected(Kind::ClusterNetworkPolicy);
    [
        (Kind::NetworkPolicy, world.network_policies.len(), rejected(Kind::NetworkPolicy)),
        (Kind::ClusterNetworkPolicy, world.cluster_network_policies.len().saturating_sub(cluster), cluster),
    ]
    .map(|(kind, enforced, rejected)| PolicyCount { kind: kind.name(), enforced, rejected })
    .into()
}

/// What is not taken as it stands, as far as a person reads.
fn rejections(enforced: &Enforced) -> Vec<String> {
    let rejected = &enforced.snapshot.rejected;
    let mut lines: Vec<String> = rejected.iter().take(REJECTIONS).map(ToString::to_string).collect();
    if let Some(more) = rejected.len().checked_sub(REJECTIONS).filter(|more| *more > 0) {
        lines.push(format!(
            "{more} more problems with objects: `kubectl get events -A --field-selector reason=NotUnderstood`"
        ));
    }
    lines
}
