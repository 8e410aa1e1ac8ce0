//! Worlds of a given size, for the real compiler: one or two local pods, and peers and policies by the thousand.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy::compile::{Binding, NodeView};
use policy::model::{
    Block, Config, Labels, Namespace, NamespaceScope, NetworkPolicy, Node, Operator, Peer, Pod, PodKey, Port, Protocol,
    Requirement, Rule, Selector, TenantSource, World,
};

use crate::wire;

/// Everything that a compile takes.
#[derive(Clone, Debug)]
pub struct Input {
    pub world: World,
    pub config: Config,
    pub node: NodeView,
}

/// A local pod's interface.
#[derive(Clone, Debug)]
pub struct Local {
    pub name: &'static str,
    pub ifindex: u32,
    pub mac: [u8; 6],
    pub addresses: Vec<IpAddr>,
}

/// How large the policy of the one local pod is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub peers: Peers,
    /// Each with the same peers and a port of its own.
    pub rules: u16,
    /// Of the first rule; odd numbers only, so that they do not merge into one interval.
    pub ports: u16,
    pub family: Family,
}

/// Who is allowed; each pod has a label of its own, and so an identity of its own.
#[derive(Clone, Copy, Debug)]
pub enum Peers {
    Pods(u32),
    /// As many ipBlocks: /28 and /124.
    Blocks(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// The local pod of [`judged`], and the first port that its policy allows.
pub const POD: &str = "server";
pub const FIRST_PORT: u16 = 1001;

const NAMESPACE: &str = "bench";
const TEAM: &str = "example.com/team";
/// On every peer pod, with a value of its own.
const NUMBER: &str = "number";
const APP: &str = "app";

/// The address of the pod with a number, and of the ipBlock with that number plus one.
pub fn peer(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(0x0a80_0001 + number).into(),
        Family::V6 => Ipv6Addr::from(0xfd00_0010_0128_u128 << 80 | u128::from(number + 1)).into(),
    }
}

/// An address inside the ipBlock with a number.
pub fn inside(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(0xac10_0001 + number * 16).into(),
        Family::V6 => Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 4 | 1).into(),
    }
}

/// One local pod, `server`, with a policy of this shape in both directions.
pub fn judged(shape: Shape, local: Local) -> Result<Input> {
    let mut input = input([local]);
    let peers = match shape.peers {
        Peers::Pods(count) => {
            (0..count).for_each(|number| add_pod(&mut input.world, NAMESPACE, number, peer(shape.family, number)));
            vec![pods(Selector { requirements: vec![has(NUMBER)] })]
        }
        Peers::Blocks(count) => (0..count).map(|number| block(shape.family, number)).collect::<Result<_>>()?,
    };
    let rule = |number: u16| Rule { peers: peers.clone(), ports: vec![tcp(FIRST_PORT + 2 * number)] };
    let mut rules: Vec<Rule> = (0..shape.rules).map(rule).collect();
    if let Some(first) = rules.first_mut() {
        first.ports = (0..shape.ports).map(|number| tcp(FIRST_PORT + 2 * number)).collect();
    }
    insert(&mut input.world, policy("judged", POD, Some(rules.clone()), Some(rules)));
    Ok(input)
}

/// The two pods of the wire, each selected by half of `policies` and by one more that allows the other pod. The rest
/// allow a thousand pods that send nothing, each policy on a port of its own.
pub fn wire(policies: u32, pods_of_wire: [Local; 2]) -> Input {
    const OTHERS: u32 = 1000;
    let mut input = input(pods_of_wire);
    for other in 0..policies.min(OTHERS) {
        add_pod(&mut input.world, NAMESPACE, other, peer(Family::V4, other));
    }
    for number in 0..policies {
        let from = pods(Selector { requirements: vec![is(NUMBER, &(number % OTHERS).to_string())] });
        let ports = vec![tcp(10_000 + u16::try_from(number % 5000).unwrap_or_default())];
        let rules = vec![Rule { peers: vec![from], ports }];
        let (subject, ingress, egress) =
            if number % 2 == 0 { (wire::SERVER, Some(rules), None) } else { (wire::CLIENT, None, Some(rules)) };
        insert(&mut input.world, policy(&format!("number-{number}"), subject, ingress, egress));
    }
    for (name, subject, other) in [("to-server", wire::SERVER, wire::CLIENT), ("to-client", wire::CLIENT, wire::SERVER)]
    {
        let rules = vec![Rule { peers: vec![pods(Selector { requirements: vec![is(APP, other)] })], ports: vec![] }];
        let (ingress, egress) = if subject == wire::SERVER { (Some(rules), None) } else { (None, Some(rules)) };
        insert(&mut input.world, policy(name, subject, ingress, egress));
    }
    input
}

fn input(locals: impl IntoIterator<Item = Local>) -> Input {
    let config = Config { sources: vec![TenantSource::NamespaceLabel(TEAM.to_owned())], ..Config::default() };
    let pod_cidrs =
        [net(Ipv4Addr::new(10, 128, 0, 0).into(), 9), net(Ipv4Addr::new(10, 244, 0, 0).into(), 16)].into_iter();
    let pod_cidrs = pod_cidrs.chain([net(Ipv6Addr::from(0xfd00_0010_u128 << 96).into(), 32)]).flatten().collect();
    let name = "node".to_owned();
    let node = Node { name: name.clone(), pod_cidrs, ..Node::default() };
    let mut world = World { nodes: [(name.clone(), node)].into(), ..World::default() };
    add_namespace(&mut world, NAMESPACE, "team");
    let mut view =
        NodeView { name, addresses: BTreeSet::from([Ipv4Addr::new(10, 244, 1, 1).into()]), ..NodeView::default() };
    for (slot, local) in (1..).zip(locals) {
        let labels = Labels::from_iter([(APP.into(), local.name.into())]);
        let pod = Pod {
            namespace: NAMESPACE.to_owned(),
            name: local.name.to_owned(),
            labels,
            addresses: local.addresses.clone(),
            node: view.name.clone(),
            ..Pod::default()
        };
        view.endpoints.push(binding(slot, local.ifindex, local.mac, local.addresses, Some(pod.key())));
        world.pods.insert(pod.key(), pod);
    }
    Input { world, config, node: view }
}

fn binding(slot: u32, ifindex: u32, mac: [u8; 6], addresses: Vec<IpAddr>, pod: Option<PodKey>) -> Binding {
    Binding { slot, id: slot + 1, ifindex, mac, addresses, pod, adopt_until: 0 }
}

fn add_namespace(world: &mut World, name: &str, team: &str) {
    let labels = [("kubernetes.io/metadata.name", name), (TEAM, team)];
    let labels = labels.map(|(key, value)| (key.into(), value.into())).into_iter().collect();
    world.namespaces.insert(name.to_owned(), Namespace { name: name.to_owned(), labels, ..Namespace::default() });
}

fn add_pod(world: &mut World, namespace: &str, number: u32, address: IpAddr) {
    let labels = Labels::from_iter([(NUMBER.into(), number.to_string().into())]);
    let pod = Pod {
        namespace: namespace.to_owned(),
        name: format!("pod-{number}"),
        labels,
        addresses: vec![address],
        node: "another".to_owned(),
        ..Pod::default()
    };
    world.pods.insert(pod.key(), pod);
}

fn insert(world: &mut World, policy: NetworkPolicy) {
    world.network_policies.insert((policy.namespace.clone(), policy.name.clone()), policy);
}

fn policy(name: &str, app: &str, ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> NetworkPolicy {
    let subject = Selector { requirements: vec![is(APP, app)] };
    NetworkPolicy { namespace: NAMESPACE.to_owned(), name: name.to_owned(), subject, ingress, egress }
}

const fn pods(selector: Selector) -> Peer {
    Peer::Pods { namespaces: NamespaceScope::Own, pods: Some(selector) }
}

fn block(family: Family, number: u32) -> Result<Peer> {
    let cidr = match inside(family, number) {
        address @ IpAddr::V4(_) => net(address, 28),
        address @ IpAddr::V6(_) => net(address, 124),
    };
    Ok(Peer::Block(Block { cidr: cidr?.trunc(), except: vec![] }))
}

fn net(address: IpAddr, length: u8) -> Result<IpNet> {
    Ok(match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length)?.into(),
        IpAddr::V6(address) => Ipv6Net::new(address, length)?.into(),
    })
}

fn has(key: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::Exists }
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In(BTreeSet::from([value.to_owned()])) }
}

const fn tcp(port: u16) -> Port {
    Port::Range(Protocol::Tcp, port, port)
}
