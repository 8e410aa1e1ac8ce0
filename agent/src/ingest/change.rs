//! A change to the world of a cluster, before it is applied.

use policy::model::World;

use super::convert::{self, Report, Source};
use super::live::{Live, convert_kind};
use super::{IngestError, IngestErrors, Kind, Manifest, Manifests, ObjectId};

impl Manifests {
    /// Puts the objects into the world of a cluster; each is held to what files are held to. A pod keeps the addresses
    /// and the node that it has there. Returns what was noticed.
    ///
    /// # Errors
    /// Every problem of every object.
    pub fn put_into(&self, world: &mut World) -> Result<Vec<IngestError>, IngestErrors> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for manifest in self.iter() {
            put(world, manifest, &mut Report::new(manifest, Source::File, &mut errors, &mut warnings));
        }
        if errors.is_empty() { Ok(warnings) } else { Err(IngestErrors(errors)) }
    }
}

fn put(world: &mut World, manifest: &Manifest, report: &mut Report<'_>) {
    let ObjectId { kind, namespace, .. } = &manifest.id;
    if kind.is_workload() {
        report.warn("", "changes no verdict here: its pods are the cluster's to make");
        return;
    }
    let Some(mut live) = convert_kind(report, *kind) else { return };
    if let Live::Pod(pod) = &mut live
        && let Some(old) = world.pods.get(&pod.key())
    {
        if pod.addresses.is_empty() {
            pod.addresses.clone_from(&old.addresses);
        }
        if pod.node.is_empty() {
            pod.node.clone_from(&old.node);
        }
    }
    if kind.is_namespaced() && !world.namespaces.contains_key(namespace) {
        world.namespaces.insert(namespace.clone(), convert::implied_namespace(namespace));
    }
    live.put_into(world);
}

/// Takes an object out of a world. False where there is none of that name.
pub fn remove(world: &mut World, id: &ObjectId) -> bool {
    let ObjectId { kind, namespace, name } = id;
    let key = (namespace.clone(), name.clone());
    match kind {
        Kind::Namespace => world.namespaces.remove(name).is_some(),
        Kind::Node => world.nodes.remove(name).is_some(),
        Kind::Tenant => world.tenants.remove(name).is_some(),
        Kind::Pod => {
            let key = policy::model::PodKey { namespace: key.0, name: key.1 };
            world.pods.remove(&key).is_some()
        }
        Kind::Service => world.services.remove(&key).is_some(),
        Kind::EndpointSlice => world.endpoint_slices.remove(&key).is_some(),
        Kind::ServiceCidr => world.service_cidrs.remove(name).is_some(),
        Kind::NetworkPolicy => {
            world.network_policies.remove(&key).is_some() || world.invalid_policies.remove(&key).is_some()
        }
        Kind::ClusterNetworkPolicy => world.cluster_network_policies.remove(name).is_some(),
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicaSet | Kind::Job | Kind::CronJob => false,
    }
}
