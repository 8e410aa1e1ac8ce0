//! Converted objects to one world, with what files leave out filled in.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy::model::{Node, Pod, PodKey};

use super::addresses::{LAB_NODE, LAB_NODE_ADDRESSES, LAB_POD_RANGES, Pool};
use super::convert::{self, Report, Source};
use super::kind::Kind;
use super::manifests::{Manifest, Manifests};
use super::services::{self, Drafts};
use super::{Assigned, IngestError, IngestErrors, Loaded};

impl Manifests {
    /// The world that these objects describe. Pods without addresses keep what `assigned` gives them, the others
    /// get free ones.
    ///
    /// # Errors
    /// Every problem of every object.
    pub fn world(&self, assigned: &Assigned) -> Result<Loaded, IngestErrors> {
        let mut draft = Draft::default();
        draft.loaded.other_kinds = self.other_kinds();
        for manifest in self.iter() {
            draft.add(manifest);
        }
        draft.imply_namespaces(self);
        draft.place_pods(assigned);
        draft.give_pod_ranges();
        services::complete(&mut draft.loaded.world, std::mem::take(&mut draft.services));
        if draft.errors.is_empty() { Ok(draft.loaded) } else { Err(IngestErrors(draft.errors)) }
    }
}

/// A world in the making.
#[derive(Default)]
struct Draft<'a> {
    loaded: Loaded,
    errors: Vec<IngestError>,
    /// Where each pod comes from.
    sources: BTreeMap<PodKey, &'a Manifest>,
    /// InternalIPs by node.
    internal: BTreeMap<String, Vec<IpAddr>>,
    services: Drafts,
}

impl<'a> Draft<'a> {
    fn add(&mut self, manifest: &'a Manifest) {
        let name = manifest.id.name.clone();
        let report = &mut Report::new(manifest, Source::File, &mut self.errors, &mut self.loaded.warnings);
        let world = &mut self.loaded.world;
        match manifest.id.kind {
            Kind::Namespace => world.namespaces.extend(convert::namespace(report).map(|namespace| (name, namespace))),
            Kind::Tenant => world.tenants.extend(convert::tenant(report).map(|tenant| (name, tenant))),
            Kind::Node => {
                if let Some((node, internal)) = convert::node(report) {
                    self.internal.insert(name.clone(), internal);
                    world.nodes.insert(name, node);
                }
            }
            Kind::NetworkPolicy => {
                let key = (manifest.id.namespace.clone(), name);
                // In a file an error: there is no world.
                world.network_policies.extend(convert::network_policy(report).ok().map(|policy| (key, policy)));
            }
            Kind::ClusterNetworkPolicy => {
                world.cluster_network_policies.insert(name, convert::cluster_network_policy(report));
            }
            Kind::Service => {
                let key = (manifest.id.namespace.clone(), name);
                self.services.extend(convert::service(report).map(|service| (key, service)));
            }
            Kind::EndpointSlice => {
                let key = (manifest.id.namespace.clone(), name);
                world.endpoint_slices.extend(convert::endpoint_slice(report).map(|slice| (key, slice)));
            }
            Kind::ServiceCidr => {
                world.service_cidrs.extend(convert::service_cidr(report).map(|ranges| (name, ranges)));
            }
            Kind::Pod => {
                let ended = report.is_ended();
                let pod = convert::pod(report);
                self.add_pod(manifest, pod.filter(|_| !ended));
            }
            kind => {
                let pod = convert::workload(report, kind);
                self.add_pod(manifest, pod);
            }
        }
    }

    fn add_pod(&mut self, manifest: &'a Manifest, pod: Option<Pod>) {
        let Some(pod) = pod else { return };
        let key = pod.key();
        if let Some(other) = self.sources.insert(key.clone(), manifest) {
            let problem = format!(
                "its pod would have the name of the one for {} in {}, rename one of them",
                other.id, other.place
            );
            self.refuse(manifest, "metadata.name", problem);
            return;
        }
        self.loaded.world.pods.insert(key, pod);
    }

    fn refuse(&mut self, manifest: &Manifest, field: &str, problem: impl Into<String>) {
        Report::new(manifest, Source::File, &mut self.errors, &mut self.loaded.warnings).error(field, problem);
    }

    /// A namespace that is only referred to exists.
    fn imply_namespaces(&mut self, manifests: &Manifests) {
        for id in manifests.iter().map(|manifest| &manifest.id).filter(|id| id.kind.is_namespaced()) {
            let namespaces = &mut self.loaded.world.namespaces;
            if !namespaces.contains_key(&id.namespace) {
                namespaces.insert(id.namespace.clone(), convert::implied_namespace(&id.namespace));
            }
        }
    }

    /// Gives every pod a node and addresses.
    fn place_pods(&mut self, assigned: &Assigned) {
        let mut pods = std::mem::take(&mut self.loaded.world.pods);
        for pod in pods.values_mut() {
            if pod.node.is_empty() {
                LAB_NODE.clone_into(&mut pod.node);
            }
        }
        let mut nodes: BTreeSet<&str> = pods.values().map(|pod| pod.node.as_str()).collect();
        if self.loaded.world.nodes.is_empty() {
            nodes.insert(LAB_NODE);
        }
        self.imply_nodes(&nodes);
        self.address_hosts(&mut pods);
        self.refuse_shared_addresses(&pods);
        self.address_pods(&mut pods, assigned);
        self.loaded.world.pods = pods;
    }

    /// A node that is only referred to exists; the lab's has addresses.
    fn imply_nodes(&mut self, names: &BTreeSet<&str>) {
        for name in names {
            let Entry::Vacant(internal) = self.internal.entry((*name).to_owned()) else { continue };
            let addresses = if *name == LAB_NODE { LAB_NODE_ADDRESSES.to_vec() } else { Vec::new() };
            internal.insert(addresses.clone());
            let node = Node { name: (*name).to_owned(), addresses, ..Node::default() };
            self.loaded.world.nodes.insert((*name).to_owned(), node);
        }
    }

    /// A hostNetwork pod without addresses has its Node's InternalIPs, one of each family.
    fn address_hosts(&mut self, pods: &mut BTreeMap<PodKey, Pod>) {
        for (key, pod) in pods.iter_mut().filter(|(_, pod)| pod.host_network && pod.addresses.is_empty()) {
            for address in self.internal.get(&pod.node).into_iter().flatten() {
                if !pod.addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                    pod.addresses.push(*address);
                }
            }
            if pod.addresses.is_empty()
                && let Some(manifest) = self.sources.get(key).copied()
            {
                let problem = format!(
                    "the pod is on the node's network, and Node {} has no InternalIP: add that Node, or the pod's \
                     status.podIPs",
                    pod.node
                );
                self.refuse(manifest, "spec.hostNetwork", problem);
            }
        }
    }

    /// An address in use belongs to one pod, and to no node.
    fn refuse_shared_addresses(&mut self, pods: &BTreeMap<PodKey, Pod>) {
        let nodes = self.loaded.world.nodes.values();
        let mut owners: BTreeMap<IpAddr, String> = nodes
            .flat_map(|node| node.addresses.iter().map(move |address| (*address, format!("Node {}", node.name))))
            .collect();
        for (key, pod) in pods.iter().filter(|(_, pod)| !pod.host_network) {
            for address in &pod.addresses {
                let Some(other) = owners.insert(*address, format!("Pod {key}")) else { continue };
                if let Some(manifest) = self.sources.get(key).copied() {
                    self.refuse(
                        manifest,
                        "status.podIPs",
                        format!("{address} is also an address of {other}, change one"),
                    );
                }
            }
        }
    }

    /// Pods without addresses: what they were assigned before, or what is free, in the order of namespace and name.
    fn address_pods(&mut self, pods: &mut BTreeMap<PodKey, Pod>, assigned: &Assigned) {
        let in_pods = pods.values().flat_map(|pod| pod.addresses.iter().copied());
        let in_nodes = self.loaded.world.nodes.values().flat_map(|node| node.addresses.iter().copied());
        let mut taken: BTreeSet<IpAddr> = in_pods.chain(in_nodes).collect();
        let needy = |pod: &Pod| pod.addresses.is_empty() && !pod.host_network;
        for (key, pod) in pods.iter_mut().filter(|(_, pod)| needy(pod)) {
            // An address that a manifest has claimed since is not kept.
            if let Some(addresses) = assigned.get(key).filter(|old| old.iter().all(|address| !taken.contains(address)))
            {
                pod.addresses.clone_from(addresses);
                taken.extend(addresses);
            }
        }
        let mut pool = Pool::new(taken);
        for (key, pod) in pods.iter_mut().filter(|(_, pod)| needy(pod)) {
            if let Some(addresses) = pool.take() {
                pod.addresses = addresses.to_vec();
            } else if let Some(manifest) = self.sources.get(key).copied() {
                let problem = format!("no address is left in {}, set podIP", LAB_POD_RANGES[0]);
                self.refuse(manifest, "status.podIP", problem);
            }
        }
    }

    /// Where no Node says which addresses are pods', the lab's pod ranges are every node's.
    fn give_pod_ranges(&mut self) {
        let nodes = &mut self.loaded.world.nodes;
        if nodes.values().all(|node| node.pod_cidrs.is_empty()) {
            for node in nodes.values_mut() {
                node.pod_cidrs = LAB_POD_RANGES.to_vec();
            }
        }
    }
}
