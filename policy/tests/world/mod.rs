//! Small worlds, written down quickly, and what compiled rules say of them.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod naive;
pub mod random;

use std::collections::BTreeSet;
use std::net::IpAddr;

use common::abi::{Direction, PortKey};
use common::decide::{Call, Judgement, MaybeService, Question, Remote, Verdict, judge};
use ipnet::IpNet;
use policy::compile::{Binding, Compiled, Ids, Input, NodeView, compile};
use policy::model::{
    Block, CapsuleTenant, Config, ContainerPort, EndpointPort, EndpointSlice, Labels, Namespace, NamespaceScope,
    NetworkPolicy, Node, Operator, OwnerReference, Peer, Pod, PodKey, Port, Protocol, Requirement, Rule, Selector,
    Service, ServicePort, SliceEndpoint, TargetPort, World,
};
use policy::plan::Capacities;

/// A world with one node, `node`, whose pods are all local.
#[derive(Clone, Debug)]
pub struct Scene {
    pub world: World,
    pub config: Config,
    pub node: NodeView,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// `a=1,b=2`; nothing for no labels.
pub fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(key, value)| (key.into(), value.into())).collect()
}

/// `a=1`, `a!=1`, `a`, `!a`, separated by commas.
pub fn selector(text: &str) -> Selector {
    let requirements = text.split(',').filter(|part| !part.is_empty()).map(|part| {
        let values = |value: &str| BTreeSet::from([value.to_owned()]);
        let (key, operator) = match (part.split_once("!="), part.split_once('='), part.strip_prefix('!')) {
            (Some((key, value)), ..) => (key, Operator::NotIn(values(value))),
            (_, Some((key, value)), _) => (key, Operator::In(values(value))),
            (.., Some(key)) => (key, Operator::DoesNotExist),
            _ => (part, Operator::Exists),
        };
        Requirement { key: key.to_owned(), operator }
    });
    Selector { requirements: requirements.collect() }
}

/// A policy that selects all pods of its namespace and isolates in no direction yet.
pub fn policy(namespace: &str, name: &str) -> NetworkPolicy {
    NetworkPolicy {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subject: Selector::default(),
        ingress: None,
        egress: None,
    }
}

pub fn rule(peers: &[Peer], ports: &[Port]) -> Rule {
    Rule { peers: peers.to_vec(), ports: ports.to_vec() }
}

/// Pods of the policy's own namespace.
pub fn own_pods(pods: &str) -> Peer {
    Peer::Pods { namespaces: NamespaceScope::Own, pods: Some(selector(pods)) }
}

/// Pods of selected namespaces.
pub fn pods(namespaces: &str, pods: &str) -> Peer {
    Peer::Pods { namespaces: NamespaceScope::Selected(selector(namespaces)), pods: Some(selector(pods)) }
}

pub fn block(cidr: &str, except: &[&str]) -> Peer {
    Peer::Block(Block { cidr: net(cidr), except: except.iter().map(|text| net(text)).collect() })
}

pub fn tcp(port: u16) -> Port {
    Port::Range(Protocol::Tcp, port, port)
}

pub fn container_port(name: &str, protocol: Protocol, port: u16) -> ContainerPort {
    ContainerPort { name: Some(name.into()), protocol, port, host_port: None }
}

impl Default for Scene {
    fn default() -> Self {
        let node = Node {
            name: "node".to_owned(),
            addresses: vec![ip("192.0.2.1")],
            pod_cidrs: vec![net("10.244.0.0/16"), net("fd00:10:244::/64")],
            ..Node::default()
        };
        let mut world = World::default();
        world.nodes.insert("node".to_owned(), node);
        let node = NodeView { name: "node".to_owned(), ..NodeView::default() };
        Self { world, config: Config::default(), node }
    }
}

impl Scene {
    pub fn namespace(&mut self, name: &str, marks: &str) -> &mut Namespace {
        let mut labels = labels(marks);
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
        self.world.namespaces.entry(name.to_owned()).or_insert(Namespace {
            name: name.to_owned(),
            labels,
            ..Namespace::default()
        })
    }

    /// A namespace that belongs to a Capsule Tenant by label and ownerReference.
    pub fn owned(&mut self, name: &str, tenant: &str) -> &mut Namespace {
        self.world.tenants.entry(tenant.to_owned()).or_insert(CapsuleTenant {
            name: tenant.to_owned(),
            uid: Some(format!("uid-{tenant}")),
            ..CapsuleTenant::default()
        });
        let namespace = self.namespace(name, &format!("capsule.clastix.io/tenant={tenant}"));
        namespace.tenant_references = vec![OwnerReference { name: tenant.to_owned(), uid: format!("uid-{tenant}") }];
        namespace
    }

    /// A local pod, `NAMESPACE/NAME`, in a namespace that exists already or is made.
    pub fn pod(&mut self, key: &str, marks: &str, addresses: &[&str]) -> &mut Pod {
        let (namespace, name) = key.split_once('/').unwrap();
        self.namespace(namespace, "");
        let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| ip(text)).collect();
        let slot = self.node.endpoints.len() as u32 + 1;
        self.node.endpoints.push(Binding {
            slot,
            id: slot + 100,
            ifindex: slot + 1000,
            mac: [2, 0, 0, 0, 0, slot as u8],
            addresses: addresses.clone(),
            pod: Some(key.clone()),
            adopt_until: 0,
        });
        self.world.pods.entry(key).or_insert(Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: labels(marks),
            addresses,
            node: "node".to_owned(),
            ..Pod::default()
        })
    }

    pub fn policy(&mut self, policy: NetworkPolicy) {
        self.world.network_policies.insert((policy.namespace.clone(), policy.name.clone()), policy);
    }

    pub fn input(&self) -> Input<'_> {
        Input { world: &self.world, config: &self.config, node: &self.node }
    }

    pub fn compile(&self) -> Compiled {
        compile(&self.input(), &Ids::default(), None).unwrap()
    }

    pub fn slot(&self, pod: &str) -> u32 {
        let is = |binding: &&Binding| binding.pod.as_ref().is_some_and(|key| key.to_string() == pod);
        self.node.endpoints.iter().find(is).unwrap().slot
    }

    /// The judgement of one direction at a pod.
    pub fn judge(&self, compiled: &Compiled, pod: &str, direction: Direction, other: &str, port: PortKey) -> Judgement {
        let tables = &compiled.desired.tables;
        let profile = tables.profile_of(self.slot(pod)).unwrap();
        judge(tables, profile, Question::new(direction, tables.peer_of(ip(other)), port))
    }
}

pub const fn to_tcp(port: u16) -> PortKey {
    PortKey::new(6, port)
}

/// Room for everything.
pub const ROOM: Capacities = Capacities {
    peers: 1 << 20,
    ranges: 1 << 20,
    services: 1 << 20,
    rules: 1 << 20,
    ports: 1 << 20,
    profiles: 1 << 20,
    endpoints: 1 << 10,
    interfaces: 1 << 10,
    ids: 1 << 20,
};

/// A Service with a ClusterIP, whose port 80 leads to port 8080 of its endpoints.
pub fn service(namespace: &str, name: &str, cluster_ip: &str) -> Service {
    let port = ServicePort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port: 80,
        target: TargetPort::Number(8080),
        node_port: None,
    };
    Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        cluster_ips: vec![ip(cluster_ip)],
        ports: vec![port],
        ..Service::default()
    }
}

impl Scene {
    /// Adds a Service that leads to these.
    pub fn service(&mut self, service: Service, ends: &[&str]) {
        let key = (service.namespace.clone(), service.name.clone());
        let ports = service.ports.iter().map(|port| EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol,
            port: port.on(&Pod::default()).unwrap(),
        });
        let slice = EndpointSlice {
            namespace: key.0.clone(),
            name: key.1.clone(),
            service: key.1.clone(),
            ports: ports.collect(),
            endpoints: ends.iter().map(|text| SliceEndpoint { address: ip(text), ready: true }).collect(),
            is_undecided: false,
        };
        self.world.endpoint_slices.insert(key.clone(), slice);
        self.world.services.insert(key, service);
    }

    pub fn slice(&mut self, namespace: &str, service: &str) -> &mut EndpointSlice {
        self.world.endpoint_slices.get_mut(&(namespace.to_owned(), service.to_owned())).unwrap()
    }

    /// The judgement of what a pod opens to an address and port, as the programs at its veth have it.
    pub fn call(&self, compiled: &Compiled, pod: &str, address: &str, port: PortKey) -> Verdict {
        let (tables, slot) = (&compiled.desired.tables, self.slot(pod));
        let (profile, endpoint) = (tables.profile_of(slot).unwrap(), &tables.endpoints[&slot]);
        let end = Remote::of(tables, &ip(address).into(), port);
        let judge = |question: &Question| judge(tables, profile, *question);
        if end.service == MaybeService::NONE {
            return judge(&Question::new(Direction::Egress, end.peer, port)).verdict;
        }
        let call = Call { end, port, opened: true };
        let behind = |call: &Call| call.behind(tables, Some(profile), |address| endpoint.owns(address));
        call.judge(behind, judge).judgement.verdict
    }
}
