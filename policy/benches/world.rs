//! A cluster of a given size for benchmarks: tenants with their namespaces, pods with labels that vary, policies
//! that isolate and allow by label, by tenant and by address. The same numbers give the same cluster.
#![allow(dead_code, reason = "each benchmark and test uses its own part")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use policy::compile::{Binding, NodeView};
use policy::model::{
    Block, CapsuleTenant, ContainerPort, Labels, Namespace, NamespaceScope, NetworkPolicy, Node, Operator,
    OwnerReference, Peer, Pod, PodKey, Port, Protocol, Requirement, Rule, Selector, World,
};

/// How large a cluster is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub pods: usize,
    pub policies: usize,
    pub tenants: usize,
    pub namespaces: usize,
    /// Pods of the node that is compiled for, spread over all namespaces.
    pub local: usize,
}

/// The cluster of the budget: 10,000 pods, 1,000 policies, 110 local pods.
pub const BUDGET: Size = Size { pods: 10_000, policies: 1_000, tenants: 200, namespaces: 1_000, local: 110 };

const TENANT_LABEL: &str = "capsule.clastix.io/tenant";
const APPS: usize = 20;

/// The world, and the node with the local pods.
#[must_use]
pub fn cluster(size: Size) -> (World, NodeView) {
    let mut world = World::default();
    let pod_cidrs = vec![IpNet::new_assert(IpAddr::from([10, 0, 0, 0]), 8)];
    world.nodes.insert("node".to_owned(), Node { name: "node".to_owned(), pod_cidrs, ..Node::default() });
    world.tenants = (0..size.tenants).map(tenant).map(|tenant| (tenant.name.clone(), tenant)).collect();
    world.namespaces =
        (0..size.namespaces).map(|n| namespace(n, size.tenants)).map(|it| (it.name.clone(), it)).collect();
    for n in 0..size.pods {
        let pod = pod(n, size.namespaces);
        world.pods.insert(pod.key(), pod);
    }
    for n in 0..size.policies {
        let policy = network_policy(n, size);
        world.network_policies.insert((policy.namespace.clone(), policy.name.clone()), policy);
    }
    let node = node(&world, size);
    (world, node)
}

/// A tenant that tries to stall the compiler: in its one namespace 10,000 policies, each of which selects all of its
/// 10,000 pods and allows one of them by a label of its own.
#[must_use]
pub fn hostile() -> (World, NodeView) {
    let size = Size { policies: 10_000, tenants: 1, namespaces: 1, ..BUDGET };
    let (mut world, node) = cluster(size);
    for (n, policy) in world.network_policies.values_mut().enumerate() {
        let one = selector("pod-template-hash", format!("{:x}", n * 7919));
        let peers = vec![Peer::Pods { namespaces: NamespaceScope::Own, pods: Some(one) }];
        policy.ingress = Some(vec![Rule { peers, ports: Vec::new() }]);
        policy.egress = None;
    }
    (world, node)
}

/// The same with selectors that match all pods but one: 10,000 times 10,000 of them.
#[must_use]
pub fn hostile_by_exclusion() -> (World, NodeView) {
    let (mut world, node) = hostile();
    for (n, policy) in world.network_policies.values_mut().enumerate() {
        let operator = Operator::NotIn(BTreeSet::from([format!("{:x}", n * 7919)]));
        let requirements = vec![Requirement { key: "pod-template-hash".to_owned(), operator }];
        let peers = vec![Peer::Pods { namespaces: NamespaceScope::Own, pods: Some(Selector { requirements }) }];
        policy.ingress = Some(vec![Rule { peers, ports: Vec::new() }]);
    }
    (world, node)
}

/// The cluster of the budget, one tenant of which writes 5,000 policies into a namespace with a local pod: each names an
/// ipBlock around all others, two of 10,000 labels, and of 1,000 port ranges one.
#[must_use]
pub fn hostile_among_others() -> (World, NodeView) {
    let (mut world, node) = cluster(BUDGET);
    for n in 0..5_000_u32 {
        let [_, _, b, c] = n.to_be_bytes();
        let hole = IpNet::new_assert(IpAddr::from([172, 16 + b % 16, c, (b / 16 * 64) & 0xc0]), 26);
        let cidr = IpNet::new_assert(IpAddr::from([172, 16, 0, 0]), 12);
        let labelled = |label: u32| Peer::Pods {
            namespaces: NamespaceScope::Selected(Selector::default()),
            pods: Some(selector(&format!("label-{label}"), "a".to_owned())),
        };
        let peers = vec![Peer::Block(Block { cidr, except: vec![hole] }), labelled(2 * n), labelled(2 * n + 1)];
        let first = 1_000 + n as u16 % 1_000 * 60;
        let rule = Rule { peers, ports: vec![Port::Range(Protocol::Tcp, first, first + 30)] };
        let policy = NetworkPolicy {
            namespace: "namespace-0".to_owned(),
            name: format!("hostile-{n}"),
            subject: Selector::default(),
            ingress: Some(vec![rule.clone()]),
            egress: Some(vec![rule]),
        };
        world.network_policies.insert((policy.namespace.clone(), policy.name.clone()), policy);
    }
    (world, node)
}

/// Makes one change in a cluster.
pub type Change = fn(&mut World);

/// One pod, one label, one policy, one tenant: all about the first namespace, which has local pods.
pub const CHANGES: [(&str, Change); 7] = [
    ("one pod more", add_pod),
    ("one pod less", remove_pod),
    ("one label that nobody selects on", |world| label(world, "nobody", "asks")),
    ("one label that policies select on", |world| label(world, "tier", "data")),
    ("one policy", |world| {
        let policy = world.network_policies.get_mut(&("namespace-0".to_owned(), "policy-0".to_owned()));
        policy.and_then(|policy| policy.ingress.as_mut()?.first_mut()?.ports.pop());
    }),
    ("one namespace to another tenant", |world| {
        if let Some(namespace) = world.namespaces.get_mut("namespace-0") {
            namespace.labels.insert(TENANT_LABEL.into(), "tenant-3".into());
            namespace.tenant_references = vec![OwnerReference { name: "tenant-3".to_owned(), uid: "uid-3".to_owned() }];
        }
    }),
    ("one tenant's isolation", |world| {
        if let Some(tenant) = world.tenants.get_mut("tenant-0") {
            tenant.annotations.insert("bulkhead.dev/isolation".into(), "strict".into());
        }
    }),
];

fn key(namespace: &str, name: &str) -> PodKey {
    PodKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// Another one like the namespace's first.
fn add_pod(world: &mut World) {
    if let Some(like) = world.pods.get(&key("namespace-0", "pod-0")) {
        let pod = Pod { name: "another".to_owned(), addresses: vec![IpAddr::from([10, 99, 0, 1])], ..like.clone() };
        world.pods.insert(pod.key(), pod);
    }
}

/// The namespace's last.
fn remove_pod(world: &mut World) {
    let last = world.pods.keys().rfind(|key| key.namespace == "namespace-0" && key.name != "pod-0").cloned();
    last.and_then(|last| world.pods.remove(&last));
}

fn label(world: &mut World, name: &str, value: &str) {
    if let Some(pod) = world.pods.get_mut(&key("namespace-0", "pod-0")) {
        pod.labels.insert(name.into(), value.into());
    }
}

fn tenant(n: usize) -> CapsuleTenant {
    CapsuleTenant { name: format!("tenant-{n}"), uid: Some(format!("uid-{n}")), annotations: Labels::new() }
}

fn namespace(n: usize, tenants: usize) -> Namespace {
    let name = format!("namespace-{n}");
    let tenant = n % tenants;
    let labels = [
        ("kubernetes.io/metadata.name", name.clone()),
        (TENANT_LABEL, format!("tenant-{tenant}")),
        ("stage", if n.is_multiple_of(2) { "test" } else { "production" }.to_owned()),
    ];
    Namespace {
        name,
        labels: labels.map(|(key, value)| (key.into(), value.into())).into_iter().collect(),
        annotations: Labels::new(),
        tenant_references: vec![OwnerReference { name: format!("tenant-{tenant}"), uid: format!("uid-{tenant}") }],
        terminating: false,
    }
}

/// Pods carry what Deployments give them: an app, a template hash and a name that nobody selects on.
fn pod(n: usize, namespaces: usize) -> Pod {
    let app = n / namespaces % APPS;
    let labels = [
        ("app", format!("app-{app}")),
        ("pod-template-hash", format!("{:x}", n * 7919)),
        ("tier", ["web", "api", "data"][n % 3].to_owned()),
    ];
    let [_, a, b, c] = (n as u32 + 1).to_be_bytes();
    Pod {
        namespace: format!("namespace-{}", n % namespaces),
        name: format!("pod-{n}"),
        labels: labels.map(|(key, value)| (key.into(), value.into())).into_iter().collect(),
        annotations: Labels::new(),
        addresses: vec![IpAddr::from([10, a, b, c])],
        node: "node".to_owned(),
        host_network: false,
        kubelet_calls: Vec::new(),
        ports: vec![ContainerPort { name: Some("http".into()), protocol: Protocol::Tcp, port: 8080, host_port: None }],
    }
}

fn selector(key: &str, value: String) -> Selector {
    let operator = Operator::In(BTreeSet::from([value]));
    Selector { requirements: vec![Requirement { key: key.to_owned(), operator }] }
}

/// One policy a namespace, in turn: from its own pods, from its tenant, from and to addresses.
fn network_policy(n: usize, size: Size) -> NetworkPolicy {
    let namespace = n % size.namespaces;
    let tenant = format!("tenant-{}", namespace % size.tenants);
    let own = Peer::Pods { namespaces: NamespaceScope::Own, pods: Some(selector("tier", "web".to_owned())) };
    let same_tenant = Peer::Pods { namespaces: NamespaceScope::Selected(selector(TENANT_LABEL, tenant)), pods: None };
    let everywhere = Peer::Pods {
        namespaces: NamespaceScope::Selected(selector("stage", "test".to_owned())),
        pods: Some(selector("app", format!("app-{}", n % APPS))),
    };
    let [.., b, c] = (n as u32).to_be_bytes();
    let block = Peer::Block(Block {
        cidr: IpNet::new_assert(IpAddr::from([172, 16 + b % 16, c, 0]), 24),
        except: vec![IpNet::new_assert(IpAddr::from([172, 16 + b % 16, c, 128]), 25)],
    });
    let ports = vec![Port::Range(Protocol::Tcp, 80, 90), Port::Named(Protocol::Tcp, "http".to_owned())];
    NetworkPolicy {
        namespace: format!("namespace-{namespace}"),
        name: format!("policy-{n}"),
        subject: Selector::default(),
        ingress: Some(vec![
            Rule { peers: vec![own, everywhere], ports: ports.clone() },
            Rule { peers: vec![same_tenant.clone()], ports: Vec::new() },
        ]),
        egress: Some(vec![Rule { peers: vec![same_tenant, block], ports }]),
    }
}

fn node(world: &World, size: Size) -> NodeView {
    let step = (size.pods / size.local).max(1);
    let local = world.pods.values().step_by(step).take(size.local).enumerate();
    let endpoints = local.map(|(index, pod)| {
        let slot = index as u32 + 1;
        Binding {
            slot,
            id: slot,
            ifindex: slot + 10,
            mac: [2, 0, 0, 0, 0, slot as u8],
            addresses: pod.addresses.clone(),
            pod: Some(pod.key()),
            adopt_until: 0,
        }
    });
    NodeView { name: "node".to_owned(), endpoints: endpoints.collect(), ..NodeView::default() }
}
