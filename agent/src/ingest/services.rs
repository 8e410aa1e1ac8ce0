//! What a cluster adds to Services: ClusterIPs, node ports, and EndpointSlices made from their selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use policy::model::{EndpointPort, EndpointSlice, Protocol, Service, ServicePort, SliceEndpoint, World};

use super::addresses::{LAB_SERVICE_RANGES, nth};
use super::convert::DraftService;

const FIRST_NODE_PORT: u16 = 30000;
const NODE_PORTS: u16 = 2768;
/// The network itself is no Service's, nor is its first address, where clusters have their API server.
const FIRST_ADDRESS: u16 = 2;
const ADDRESSES: u16 = u16::MAX - FIRST_ADDRESS;

/// By namespace and name.
pub(super) type Drafts = BTreeMap<(String, String), DraftService>;

/// Puts Services into a world whose pods have their addresses.
pub(super) fn complete(world: &mut World, mut drafts: Drafts) {
    assign_addresses(world, &mut drafts);
    assign_node_ports(&mut drafts);
    let listed: BTreeSet<(String, String)> =
        world.endpoint_slices.values().map(|slice| (slice.namespace.clone(), slice.service.clone())).collect();
    for (key, DraftService { service, .. }) in drafts {
        if !listed.contains(&key) {
            for (number, slice) in selected(&service, world).into_iter().enumerate() {
                // No slice of a file has such a name.
                let name = format!("{}/{number}", service.name);
                world.endpoint_slices.insert((key.0.clone(), name.clone()), EndpointSlice { name, ..slice });
            }
        }
        world.services.insert(key, service);
    }
}

/// A Service that has no ClusterIP in a file gets one that depends on its name alone, unless two names meet: it keeps it
/// when others come and go.
fn assign_addresses(world: &mut World, drafts: &mut Drafts) {
    let written = |it: &DraftService| [&it.service.cluster_ips[..], &it.service.external_ips].concat();
    let mut taken: BTreeSet<IpAddr> = drafts.values().flat_map(written).collect();
    for (key, draft) in drafts.iter_mut().filter(|(_, draft)| draft.wants_v4 || draft.wants_v6) {
        let first = start(key, ADDRESSES);
        let candidates = (0..ADDRESSES).map(|step| LAB_SERVICE_RANGES.map(|range| nth(range, place(first, step))));
        let mut free = candidates.filter(|pair| !pair.iter().any(|address| taken.contains(address)));
        let Some(pair) = free.next() else { continue };
        taken.extend(pair);
        let wanted = |address: &IpAddr| if address.is_ipv4() { draft.wants_v4 } else { draft.wants_v6 };
        draft.service.cluster_ips.extend(pair.into_iter().filter(wanted));
        world.service_cidrs.entry("lab".to_owned()).or_insert_with(|| LAB_SERVICE_RANGES.to_vec());
    }
}

const fn place(first: u16, step: u16) -> u16 {
    FIRST_ADDRESS + (first as u32 + step as u32).rem_euclid(ADDRESSES as u32) as u16
}

fn assign_node_ports(drafts: &mut Drafts) {
    let ports = drafts.values().flat_map(|draft| &draft.service.ports);
    let mut taken: BTreeSet<(Protocol, u16)> = ports.filter_map(|it| Some((it.protocol, it.node_port?))).collect();
    for (key, draft) in drafts.iter_mut().filter(|(_, draft)| draft.wants_node_ports) {
        for port in draft.service.ports.iter_mut().filter(|port| port.node_port.is_none()) {
            let first = start(&(key, port.protocol, port.port), NODE_PORTS);
            let mut numbers = (0..NODE_PORTS).map(|step| FIRST_NODE_PORT + (first + step) % NODE_PORTS);
            port.node_port = numbers.find(|&number| taken.insert((port.protocol, number)));
        }
    }
}

/// Where the search for a free place begins.
fn start(name: &impl Hash, places: u16) -> u16 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() % u64::from(places)) as u16
}

/// The slices that a cluster would make for a Service: pods with one address family and the same numbers behind its
/// ports share one.
fn selected(service: &Service, world: &World) -> Vec<EndpointSlice> {
    let mut groups: BTreeMap<(bool, Vec<Option<u16>>), Vec<IpAddr>> = BTreeMap::new();
    for pod in world.pods.values().filter(|pod| service.selects(pod)) {
        for &address in &pod.addresses {
            let numbers = service.ports.iter().map(|port| port.on(pod)).collect();
            groups.entry((address.is_ipv6(), numbers)).or_default().push(address);
        }
    }
    let slice = |((_, numbers), addresses): ((bool, Vec<Option<u16>>), Vec<IpAddr>)| EndpointSlice {
        namespace: service.namespace.clone(),
        name: String::new(),
        service: service.name.clone(),
        ports: ports(service, &numbers),
        endpoints: addresses.into_iter().map(|ip| SliceEndpoint { address: ip, ready: true }).collect(),
        is_undecided: false,
    };
    groups.into_iter().map(slice).collect()
}

fn ports(service: &Service, numbers: &[Option<u16>]) -> Vec<EndpointPort> {
    let ports = service.ports.iter().zip(numbers);
    let port = |(port, number): (&ServicePort, &Option<u16>)| {
        Some(EndpointPort { name: port.name.clone(), protocol: port.protocol, port: (*number)? })
    };
    ports.filter_map(port).collect()
}
