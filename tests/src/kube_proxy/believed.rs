//! The ends that compiled tables believe a call to have, found by asking: a pod that may reach everything but one end is
//! refused exactly where that end may be the one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use agent::ingest::{Kind, Live, convert_live};
use common::abi::{Direction, DropReason};
use common::decide::Verdict;
use policy::compile::{Binding, Ids, Input, NodeView, compile};
use policy::model::{Config, PodKey, Protocol, World};
use serde_json::{Value, json};

use crate::frames::{Ends, SYN};
use crate::host::{HostFrame, HostNode};

const NAMESPACE: &str = "probes";
const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// An address and port of a protocol.
pub type End = (SocketAddr, Protocol);

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Believed {
    Ends(BTreeSet<SocketAddr>),
    /// Nobody may make it.
    Undecided(DropReason),
}

/// A node on which a pod of every kind of permission runs.
#[derive(Debug)]
pub struct Probes {
    host: HostNode,
    /// The number of the pod that may reach everything but the end. Number 0 may reach everything.
    numbers: BTreeMap<End, u32>,
}

impl Probes {
    /// Compiles the world with a pod for each of the ends.
    ///
    /// # Panics
    /// Where it does not compile.
    #[must_use]
    pub fn new(mut world: World, config: &Config, node: &NodeView, ends: &BTreeSet<End>) -> Self {
        put(&mut world, Kind::Namespace, json!({"metadata": {"name": NAMESPACE, "labels": name_label(NAMESPACE)}}));
        add_probe(&mut world, node, 0, &json!([{}]));
        let numbers: BTreeMap<End, u32> = ends.iter().copied().zip(1..).collect();
        for (end, number) in &numbers {
            let egress = all_but(&world, *end);
            add_probe(&mut world, node, *number, &egress);
        }
        let all = 0..=numbers.len() as u32;
        let node = NodeView { endpoints: all.map(binding).collect(), ..node.clone() };
        let compiled = compile(&Input { world: &world, config, node: &node }, &Ids::default(), None);
        Self { host: HostNode::new(compiled.expect("the world compiles").desired.tables), numbers }
    }

    /// Which of `candidates` may be the end of a call.
    pub fn believed(&mut self, to: SocketAddr, protocol: Protocol, candidates: &BTreeSet<End>) -> Believed {
        if let Verdict::Drop(reason) = self.call(0, to, protocol) {
            return Believed::Undecided(reason);
        }
        let own = candidates.iter().filter(|(end, other)| *other == protocol && end.is_ipv4() == to.is_ipv4());
        let counts = |end: &&End| matches!(self.call(self.numbers[*end], to, protocol), Verdict::Drop(_));
        Believed::Ends(own.filter(counts).map(|(end, _)| *end).collect())
    }

    fn call(&mut self, number: u32, to: SocketAddr, protocol: Protocol) -> Verdict {
        let binding = binding(number);
        let source = binding.addresses[usize::from(to.is_ipv6())];
        let ends = Ends { source_mac: binding.mac, destination_mac: NODE_MAC, source, destination: to.ip() };
        let frame = match protocol {
            Protocol::Tcp => ends.tcp(40000, to.port(), SYN),
            Protocol::Udp => ends.udp(40000, to.port()),
            Protocol::Sctp => ends.sctp(40000, to.port(), 1),
        };
        self.host.forget();
        let frame = HostFrame::new(frame, binding.ifindex, binding.ifindex);
        self.host.run(Direction::Egress, &frame).outcome.verdict
    }
}

/// The egress rules of a pod that may reach everything but one address at one port.
fn all_but(world: &World, (end, protocol): End) -> Value {
    let single = format!("{}/{}", end.ip(), if end.is_ipv4() { 32 } else { 128 });
    let (own, other) = if end.is_ipv4() { ("0.0.0.0/0", "::/0") } else { ("::/0", "0.0.0.0/0") };
    let networks = [json!({"ipBlock": {"cidr": own, "except": [single]}}), json!({"ipBlock": {"cidr": other}})];
    let has = world.pods.values().find(|pod| pod.addresses.contains(&end.ip()));
    let (mut others, mut itself) = (networks.to_vec(), vec![json!({"ipBlock": {"cidr": single}})]);
    match has {
        None => others.push(json!({"namespaceSelector": {}})),
        Some(pod) => {
            let is = |operator: &str, key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": operator, "values": [value]}]});
            let (key, namespace) = ("kubernetes.io/metadata.name", pod.namespace.as_str());
            let app = pod.labels.get("app").map(ToString::to_string).unwrap_or_default();
            let with = |namespaces: Value, pods: Value| json!({"namespaceSelector": namespaces, "podSelector": pods});
            others.push(with(is("NotIn", key, namespace), json!({})));
            others.push(with(is("In", key, namespace), is("NotIn", "app", &app)));
            itself.push(with(is("In", key, namespace), is("In", "app", &app)));
        }
    }
    let mut ports: Vec<Value> =
        Protocol::ALL.into_iter().filter(|it| *it != protocol).map(|it| json!({"protocol": it.name()})).collect();
    let mut span =
        |first: u16, last: u16| ports.push(json!({"protocol": protocol.name(), "port": first, "endPort": last}));
    if end.port() > 1 {
        span(1, end.port() - 1);
    }
    if end.port() < u16::MAX {
        span(end.port() + 1, u16::MAX);
    }
    json!([{"to": others}, {"to": itself, "ports": ports}])
}

fn add_probe(world: &mut World, node: &NodeView, number: u32, egress: &Value) {
    let (name, addresses) = (name_of(number), binding(number).addresses);
    put(
        world,
        Kind::Pod,
        json!({
            "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"probe": name}},
            "spec": {"nodeName": node.name, "containers": [{"name": "app", "image": "app"}]},
            "status": {"phase": "Running", "podIP": addresses[0],
                "podIPs": addresses.iter().map(|address| json!({"ip": address})).collect::<Vec<_>>()},
        }),
    );
    put(
        world,
        Kind::NetworkPolicy,
        json!({
            "metadata": {"namespace": NAMESPACE, "name": name},
            "spec": {"podSelector": {"matchLabels": {"probe": name}}, "policyTypes": ["Egress"], "egress": egress},
        }),
    );
}

fn put(world: &mut World, kind: Kind, object: Value) {
    let live: Live = convert_live(kind, object).expect("it is understood").expect("it is policy's business");
    live.put_into(world);
}

fn name_label(name: &str) -> Value {
    json!({"kubernetes.io/metadata.name": name})
}

fn name_of(number: u32) -> String {
    format!("probe-{number}")
}

fn binding(number: u32) -> Binding {
    let [_, _, high, low] = number.to_be_bytes();
    Binding {
        slot: number,
        id: number + 1,
        ifindex: number + 100,
        mac: [2, 0, 0, 1, high, low],
        addresses: vec![
            IpAddr::V4(Ipv4Addr::new(10, 244, 200 + high, low)),
            IpAddr::V6(Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 1, number as u16)),
        ],
        pod: Some(PodKey { namespace: NAMESPACE.to_owned(), name: name_of(number) }),
        adopt_until: 0,
    }
}
