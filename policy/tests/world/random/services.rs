//! Random Services: few addresses and ports, so that they meet each other and the pods.

use ipnet::IpNet;
use policy::model::{
    EndpointPort, EndpointSlice, HostPort, Labels, Service, ServicePort, SliceEndpoint, TargetPort, World,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{NAMESPACES, PORTS, PROTOCOLS};
use crate::world::{ip, net};

const CLUSTER_IPS: [&str; 3] = ["10.96.0.1", "10.96.0.2", "10.97.0.1"];
/// An address outside, a node's, a pod's, and a ClusterIP.
const EXTERNAL_IPS: [&str; 4] = ["198.51.100.1", "192.0.2.2", "10.244.0.6", "10.96.0.1"];
/// Where they lead: pods, an unknown pod, nodes, outside.
const ENDS: [&str; 8] =
    ["10.244.0.1", "10.244.0.2", "10.244.0.3", "10.244.0.4", "10.244.0.99", "192.0.2.1", "192.0.2.2", "198.51.100.200"];
const NODE_PORTS: [u16; 2] = [81, 8080];

/// Services with their slices, a range of theirs, and a pod's port that is its node's too.
#[derive(Clone, Debug)]
pub(super) struct Services {
    services: Vec<(Service, EndpointSlice)>,
    range: Option<IpNet>,
    host_port: Option<(usize, HostPort)>,
}

pub(super) fn services() -> impl Strategy<Value = Services> {
    let range = option::of(Just(net("10.96.0.0/12")));
    let address = option::of(select(&["192.0.2.1", "192.0.2.2"][..]).prop_map(ip));
    let host_port = (select(&PORTS[..]), address).prop_map(|(port, address)| HostPort { port, address });
    (vec(service(), 0..4), range, option::of((0..6usize, host_port)))
        .prop_map(|(services, range, host_port)| Services { services, range, host_port })
}

impl Services {
    pub(super) fn add_to(self, world: &mut World) {
        for (index, (service, slice)) in self.services.into_iter().enumerate() {
            let name = format!("s{index}");
            let key = (service.namespace.clone(), name.clone());
            let slice = EndpointSlice { name: name.clone(), service: name.clone(), ..slice };
            world.endpoint_slices.insert(key.clone(), slice);
            world.services.insert(key, Service { name, ..service });
        }
        world.service_cidrs.extend(self.range.map(|range| ("range".to_owned(), vec![range])));
        if let Some((index, host)) = self.host_port
            && let Some(pod) = world.pods.values_mut().nth(index)
            && let Some(port) = pod.ports.first_mut()
        {
            port.host_port = Some(host);
        }
    }
}

fn service() -> impl Strategy<Value = (Service, EndpointSlice)> {
    let addresses = (select(&CLUSTER_IPS[..]), subsequence(EXTERNAL_IPS.to_vec(), 0..3));
    let port = (select(&PROTOCOLS[..]), select(&PORTS[..]), option::of(select(&NODE_PORTS[..])));
    let ends = vec((select(&ENDS[..]), any::<bool>()), 0..4);
    (select(&NAMESPACES[..3]), addresses, port, ends, select(&PORTS[..])).prop_map(
        |(namespace, (cluster_ip, external_ips), (protocol, port, node_port), ends, target)| {
            let written =
                ServicePort { name: String::new(), protocol, port, target: TargetPort::Number(target), node_port };
            let service = Service {
                namespace: namespace.to_owned(),
                name: String::new(),
                selector: Labels::default(),
                cluster_ips: vec![ip(cluster_ip)],
                external_ips: external_ips.into_iter().map(ip).collect(),
                load_balancer_ips: Vec::new(),
                ports: vec![written],
                ..Service::default()
            };
            let endpoint = |(address, ready): (&str, bool)| SliceEndpoint { address: ip(address), ready };
            let slice = EndpointSlice {
                namespace: namespace.to_owned(),
                ports: vec![EndpointPort { name: String::new(), protocol, port: target }],
                endpoints: ends.into_iter().map(endpoint).collect(),
                ..EndpointSlice::default()
            };
            (service, slice)
        },
    )
}
