//! Random small worlds: always the same pods and addresses, so that any two of them can follow each other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy::model::{
    AGENT_PORT, Block, ContainerPort, Isolation, Labels, NamespaceScope, NetworkPolicy, Node, Operator, Peer, Port,
    Protocol, Requirement, Rule, Selector, TenantSource, Untenanted,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Scene, container_port, ip, net};

mod cluster;
mod services;

const NAMESPACES: [&str; 4] = ["x", "y", "z", "lost"];
const CIDRS: [&str; 12] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.244.0.0/16",
    "10.244.0.0/30",
    "10.244.0.2/32",
    "198.51.100.0/24",
    "198.51.100.0/25",
    "192.0.2.0/24",
    "::/0",
    "fd00:10:244::/64",
    "fd00:10:244::2/127",
    "2001:db8::/32",
];
const MODES: [Isolation; 4] = [Isolation::Off, Isolation::Audit, Isolation::Baseline, Isolation::Strict];
const PORTS: [u16; 5] = [53, 80, 81, 8080, AGENT_PORT];
const PROTOCOLS: [Protocol; 3] = Protocol::ALL;

/// Every address worth asking about: pods, unknown pods, nodes, outside.
pub fn addresses() -> Vec<IpAddr> {
    let pods = (1..=6).flat_map(|n| [format!("10.244.0.{n}"), format!("fd00:10:244::{n}")]);
    let others = [
        "10.244.0.99",
        "10.1.1.1",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.9",
        "198.51.100.1",
        "198.51.100.200",
        "fd00:10:244::99",
        "2001:db8::1",
        "2001:db9::1",
    ];
    pods.chain(others.map(str::to_owned)).map(|text| ip(&text)).collect()
}

/// What Services are called at, and nodes.
pub fn called() -> Vec<IpAddr> {
    [
        "10.96.0.1",
        "10.96.0.2",
        "10.97.0.1",
        "10.96.0.9",
        "198.51.100.1",
        "192.0.2.1",
        "192.0.2.2",
        "10.244.0.6",
        "192.0.2.9",
        "10.1.1.1",
    ]
    .map(ip)
    .to_vec()
}

/// Protocol and port.
pub fn questions() -> Vec<(u8, u16)> {
    let ported = PROTOCOLS.iter().flat_map(|it| PORTS.iter().chain(&[82, 0, 65535]).map(|port| (it.number(), *port)));
    ported.chain([(1, 0), (58, 0), (47, 0)]).collect()
}

pub fn scene() -> impl Strategy<Value = Scene> {
    let pods = vec((labels(), vec(port_of_pod(), 0..3), select(&NAMESPACES[..]), 0..8u8), 6);
    let namespaces = vec((labels(), option::of(select(&["red", "green"][..])), 0..8u8), 3);

    let policies = (vec(network_policy(), 0..6), vec(cluster::policy(), 0..4));
    let nodes = (labels(), labels(), services::services());
    (pods, namespaces, policies, nodes, select(&MODES[..]), any::<bool>(), any::<bool>()).prop_map(
        |(pods, namespaces, (policies, cluster), nodes, mode, isolated, by_label)| {
            let mut scene = Scene::default();
            scene.config.mode = mode;
            scene.config.untenanted = if isolated { Untenanted::Isolated } else { Untenanted::Platform };
            if by_label {
                scene.config.sources.push(TenantSource::NamespaceLabel("app".to_owned()));
            }
            let other = Node { addresses: vec![ip("192.0.2.2")], labels: nodes.0, ..Node::default() };
            scene.world.nodes.insert("other".to_owned(), Node { name: "other".to_owned(), ..other });
            if let Some(own) = scene.world.nodes.get_mut("node") {
                own.labels.clone_from(&nodes.1);
            }
            for (name, (labels, tenant, fate)) in NAMESPACES.iter().zip(namespaces) {
                let namespace = match tenant {
                    Some(tenant) => scene.owned(name, tenant),
                    None => scene.namespace(name, ""),
                };
                namespace.labels.extend(labels);
                if fate == 0 {
                    namespace.tenant_references.clear();
                }
            }
            for (index, (labels, ports, namespace, fate)) in pods.into_iter().enumerate() {
                let n = index + 1;
                let addresses = [format!("10.244.0.{n}"), format!("fd00:10:244::{n}")];
                let pod = scene.pod(&format!("{namespace}/p{n}"), "", &[&addresses[0], &addresses[1]]);
                pod.labels = labels;
                pod.ports = ports;
                let key = pod.key();
                if fate == 0 {
                    scene.world.pods.remove(&key);
                }
            }
            scene.world.namespaces.remove("lost");
            for (index, mut policy) in policies.into_iter().enumerate() {
                policy.name = format!("p{index}");
                scene.policy(policy);
            }
            for (index, mut policy) in cluster.into_iter().enumerate() {
                policy.name = format!("c{index}");
                scene.world.cluster_network_policies.insert(policy.name.clone(), policy);
            }
            nodes.2.add_to(&mut scene.world);
            scene
        },
    )
}

/// Addresses and pod ranges of the other node, which has none of its addresses in a pod range. Not part of a scene, so that
/// the seeds of earlier finds stay good.
pub fn other_node() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    let ranges = vec!["10.1.0.0/16", "10.1.1.0/24", "198.51.100.0/25"];
    (subsequence(vec!["192.0.2.2", "192.0.2.9"], 0..=2), subsequence(ranges, 0..=3))
}

fn labels() -> impl Strategy<Value = Labels> {
    let label = |key: &'static str| option::of(select(&["", "1", "2"][..])).prop_map(move |value| (key, value));
    (label("app"), label("role")).prop_map(|labels| {
        let labels = [labels.0, labels.1].into_iter();
        labels.filter_map(|(key, value)| Some((key.into(), value?.into()))).collect()
    })
}

fn port_of_pod() -> impl Strategy<Value = ContainerPort> {
    (select(&["web", "dns"][..]), select(&PROTOCOLS[..]), select(&PORTS[..]))
        .prop_map(|(name, protocol, port)| container_port(name, protocol, port))
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = || subsequence(vec!["", "1", "2"], 1..3).prop_map(|it| it.into_iter().map(str::to_owned).collect());
    let operator = prop_oneof![
        4 => values().prop_map(|values: BTreeSet<String>| Operator::In(values)),
        1 => values().prop_map(|values: BTreeSet<String>| Operator::NotIn(values)),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement = (select(&["app", "role"][..]), operator)
        .prop_map(|(key, operator)| Requirement { key: key.to_owned(), operator });
    vec(requirement, 0..3).prop_map(|requirements| Selector { requirements })
}

fn block() -> impl Strategy<Value = Block> {
    (select(&CIDRS[..]), subsequence(CIDRS.to_vec(), 0..4)).prop_map(|(cidr, except)| {
        let cidr = net(cidr);
        let inside = except.into_iter().map(net).filter(|except| *except != cidr && cidr.contains(except));
        Block { cidr, except: inside.collect() }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let scope = prop_oneof![
        Just(NamespaceScope::Own),
        selector().prop_map(NamespaceScope::Selected),
        select(&["x", "y"][..]).prop_map(|name| {
            NamespaceScope::Selected(super::selector(&format!("kubernetes.io/metadata.name={name}")))
        }),
    ];
    let pods = (scope, option::of(selector())).prop_map(|(namespaces, pods)| Peer::Pods { namespaces, pods });
    prop_oneof![2 => pods, 1 => block().prop_map(Peer::Block)]
}

fn port() -> impl Strategy<Value = Port> {
    prop_oneof![
        select(&PROTOCOLS[..]).prop_map(Port::All),
        (select(&PROTOCOLS[..]), select(&PORTS[..]), 0..2u16).prop_map(|(p, port, more)| Port::Range(
            p,
            port,
            port + more
        )),
        (select(&PROTOCOLS[..]), select(&["web", "dns", "none"][..]))
            .prop_map(|(p, name)| Port::Named(p, name.to_owned())),
    ]
}

fn rules() -> impl Strategy<Value = Option<Vec<Rule>>> {
    let rule = (vec(peer(), 0..3), vec(port(), 0..3)).prop_map(|(peers, ports)| Rule { peers, ports });
    option::of(vec(rule, 0..3))
}

fn network_policy() -> impl Strategy<Value = NetworkPolicy> {
    (select(&NAMESPACES[..3]), selector(), rules(), rules()).prop_map(|(namespace, subject, ingress, egress)| {
        NetworkPolicy { subject, ingress, egress, ..super::policy(namespace, "") }
    })
}
