//! A cluster compiled for its node, and packets that open flows at the veths of its pods.

use std::net::IpAddr;

use common::abi::Direction;
use common::decide::{Seen, Verdict};
use policy::compile::{Binding, Compiled, Ids, Input, NodeView, compile};
use policy::model::PodKey;

use super::naive::{self, AGENT_PORT, Flow, Side};
use super::{Cluster, NODE, random};
use crate::frames::{Ends, ICMP, ICMPV6, SCTP, SYN, TCP, UDP};
use crate::host::HostFrame;
use crate::scene::NODE_MAC;

/// Protocols without ports: another one each way, so that a packet is never taken for the answer to one before.
const PORTLESS: [u8; 2] = [50, 89];
/// Where packets from elsewhere come in.
const UPLINK: u32 = 1;
/// The first chunk of an SCTP association.
const INIT: u8 = 1;
/// None of the ports that are asked about, nor of those that only servers send from.
const FIRST_SOURCE_PORT: u16 = 20_000;

/// One of [`random::PODS`] with its veth on the node.
#[derive(Clone, Debug)]
pub struct LocalPod {
    /// `NAMESPACE/NAME`
    pub name: &'static str,
    pub binding: Binding,
}

/// A cluster in force.
#[derive(Debug)]
pub struct Enforced {
    pub pods: Vec<LocalPod>,
    pub compiled: Compiled,
}

/// A packet of the flow, and where it is seen.
#[derive(Clone, Debug)]
pub struct Probe {
    pub flow: Flow,
    pub direction: Direction,
    pub frame: HostFrame,
}

impl Cluster {
    /// The veths of the node's pods, at interfaces that are given by the pods' places. Those that the cluster does not say
    /// are elsewhere are on it, whether it knows them or not.
    #[must_use]
    pub fn local_pods(&self, interfaces: &[u32]) -> Vec<LocalPod> {
        let is_elsewhere = |name: &str| {
            let mut pods = self.objects.iter().filter(|it| it["kind"] == "Pod");
            pods.any(|it| {
                let metadata = &it["metadata"];
                let key =
                    [&metadata["namespace"], &metadata["name"]].map(|it| it.as_str().unwrap_or_default()).join("/");
                key == name && it["spec"]["nodeName"] != NODE
            })
        };
        let places = (0..).zip(random::PODS).zip(interfaces);
        let local = places.filter(|((_, name), _)| !is_elsewhere(name));
        local.map(|((place, name), ifindex)| LocalPod { name, binding: binding(place, name, *ifindex) }).collect()
    }

    /// # Panics
    /// Where it does not compile.
    #[must_use]
    pub fn compile(&self, pods: &[LocalPod], ids: &Ids, previous: Option<&Compiled>) -> Compiled {
        let (world, config) = (self.world(), self.config());
        let endpoints = pods.iter().map(|pod| pod.binding.clone()).collect();
        let node = NodeView { name: NODE.to_owned(), endpoints, ..NodeView::default() };
        let compiled = compile(&Input { world: &world, config: &config, node: &node }, ids, previous);
        compiled.unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }
}

fn binding(place: usize, name: &str, ifindex: u32) -> Binding {
    let (namespace, pod) = name.split_once('/').expect("a namespace and a name");
    let number = u8::try_from(place).expect("few pods");
    Binding {
        slot: u32::from(number),
        id: u32::from(number) + 1,
        ifindex,
        mac: [2, 0, 0, 0, 0, number + 1],
        addresses: random::pod_addresses(place).to_vec(),
        pod: Some(PodKey { namespace: namespace.to_owned(), name: pod.to_owned() }),
        adopt_until: 0,
    }
}

impl Enforced {
    /// Compiles a cluster from nothing.
    #[must_use]
    pub fn new(cluster: &Cluster, interfaces: &[u32], ids: &Ids) -> Self {
        let pods = cluster.local_pods(interfaces);
        let compiled = cluster.compile(&pods, ids, None);
        Self { pods, compiled }
    }

    /// Sends a packet for every flow between a local pod and an address, each way: how many the evaluator and `run`, which
    /// decides about it, agree on.
    ///
    /// # Errors
    /// The first on which they do not.
    pub fn compare(
        &self,
        seen: &naive::Seen,
        mut run: impl FnMut(Direction, &HostFrame) -> Seen,
    ) -> Result<usize, String> {
        let mut agreed = 0;
        for pod in &self.pods {
            for (number, flow) in (0..).zip(flows()) {
                let Some(probe) = self.probe(pod, flow, FIRST_SOURCE_PORT + number) else { continue };
                let said = seen.judge(pod.name, &pod.binding.addresses, flow);
                let outcome = run(probe.direction, &probe.frame).outcome;
                let rules = self.compiled.desired.provenance.rules.get(&outcome.rule);
                let rules: Vec<String> = rules.into_iter().flatten().map(ToString::to_string).collect();
                let (allowed, reason) = words(outcome.verdict);
                if outcome.direction != probe.direction {
                    if allowed || !said.allowed || !refuses(seen, pod, flow) {
                        return Err(format!("{} {flow:?}: {reason}, which the receiver does not say", pod.name));
                    }
                    agreed += 1;
                    continue;
                }
                let audited = outcome.audited.map(|reason| reason.name());
                if !said.is(allowed, reason, &rules, audited) {
                    let got = format!("{reason} by {rules:?}, audited {audited:?}");
                    return Err(format!("{} {flow:?}: {got}; the API says {said:?}", pod.name));
                }
                agreed += 1;
            }
        }
        Ok(agreed)
    }

    /// `None` where the pod has no address of the family.
    #[must_use]
    pub fn probe(&self, pod: &LocalPod, flow: Flow, source_port: u16) -> Option<Probe> {
        let Binding { ifindex, mac, addresses, .. } = &pod.binding;
        let own = addresses.iter().find(|own| own.is_ipv4() == flow.address.is_ipv4())?;
        let (ends, direction) = match flow.side {
            Side::Source => (ends(*mac, *own, NODE_MAC, flow.address), Direction::Egress),
            Side::Destination => (ends(NODE_MAC, flow.address, *mac, *own), Direction::Ingress),
        };
        let came_from = match (flow.side, flow.made_by_node) {
            (Side::Source, _) => *ifindex,
            (Side::Destination, true) => 0,
            (Side::Destination, false) => self.veth_of(flow.address).unwrap_or(UPLINK),
        };
        let frame = HostFrame::new(first_packet(&ends, flow, source_port), *ifindex, came_from);
        Some(Probe { flow, direction, frame })
    }

    fn veth_of(&self, address: IpAddr) -> Option<u32> {
        let owner = self.pods.iter().find(|pod| pod.binding.addresses.contains(&address));
        owner.map(|pod| pod.binding.ifindex)
    }
}

/// Whether the other end is a pod that drops the flow, so that the sender's node may do it for it.
fn refuses(seen: &naive::Seen, sender: &LocalPod, flow: Flow) -> bool {
    let is_there = |place: &usize| random::pod_addresses(*place).contains(&flow.address);
    let Some(place) = (0..random::PODS.len()).find(is_there) else { return false };
    let mut own = sender.binding.addresses.iter().filter(|own| own.is_ipv4() == flow.address.is_ipv4());
    let arriving = |own: &IpAddr| Flow { side: Side::Destination, address: *own, ..flow };
    own.any(|own| !seen.judge(random::PODS[place], &random::pod_addresses(place), arriving(own)).allowed)
}

const fn ends(source_mac: [u8; 6], source: IpAddr, destination_mac: [u8; 6], destination: IpAddr) -> Ends {
    Ends { source_mac, destination_mac, source, destination }
}

fn first_packet(ends: &Ends, flow: Flow, source_port: u16) -> Vec<u8> {
    match flow.protocol {
        TCP => ends.tcp(source_port, flow.port, SYN),
        UDP => ends.udp(source_port, flow.port),
        SCTP => ends.sctp(source_port, flow.port, INIT),
        ICMP | ICMPV6 => ends.echo(true, source_port),
        protocol => ends.ip(protocol, &[0; 16]),
    }
}

/// Every flow that a pod is asked about: each address, both ways, each protocol, ports that rules name and ports beside
/// them; and what the node itself sends.
#[must_use]
pub fn flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    for address in random::addresses() {
        for side in [Side::Source, Side::Destination] {
            let icmp = if address.is_ipv4() { ICMP } else { ICMPV6 };
            let tcp = [0, 53, 80, 81, 82, 8080, AGENT_PORT, 65535].map(|port| (TCP, port));
            let udp = [53, 54, 80].map(|port| (UDP, port));
            let sctp = [80, 81, 8080].map(|port| (SCTP, port));
            let portless = [(icmp, 0), (PORTLESS[usize::from(side == Side::Destination)], 0)];
            for (protocol, port) in tcp.into_iter().chain(udp).chain(sctp).chain(portless) {
                flows.push(Flow { side, address, made_by_node: false, protocol, port });
            }
        }
        flows.push(Flow { side: Side::Destination, address, made_by_node: true, protocol: TCP, port: 80 });
    }
    flows
}

/// A verdict as CONTRACT.md §4 names it.
#[must_use]
pub const fn words(verdict: Verdict) -> (bool, &'static str) {
    match verdict {
        Verdict::Allow(reason) => (true, reason.name()),
        Verdict::Drop(reason) => (false, reason.name()),
    }
}
