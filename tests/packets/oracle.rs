//! Every case of the cyclonus oracle in the kernel (`BPF_PROG_TEST_RUN`) and on the host at once: each probe's first
//! packet, at the sender's veth and at the receiver's, against what the oracle says of egress and of ingress.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use common::abi::Direction;
use common::decide::Verdict;
use policy::ask::{End, FlowPort};
use policy::compile::{Binding, Compiled, Input, NodeView, compile};
use policy::model::{Config, PodKey, Protocol, World};
use tests::frames::{Ends, SYN};
use tests::host::HostFrame;
use tests::oracle::{Probe, Step, oracle};
use tests::twin::Twin;

/// All pods of all cases; each has its veth and slot for good, so that no slot ever changes hands.
const PODS: usize = 13;
/// No probe is sent to it, so none is taken for another's reply.
const SOURCE_PORT: u16 = 40_000;
/// The first chunk of an SCTP association.
const INIT: u8 = 1;

#[test]
fn every_probe_of_every_case_has_its_verdicts_in_the_kernel() -> Result<()> {
    let (cases, started) = (oracle()?, Instant::now());
    Twin::with_veths("oracle", PODS, |twin, veths| {
        let mut node = Node { twin, veths, bindings: BTreeMap::new(), compiled: Compiled::default() };
        let mut packets = 0;
        for (agreed, case) in cases.iter().enumerate() {
            for (number, step) in case.steps.iter().enumerate() {
                packets += node.run(step).with_context(|| {
                    let place = format!("case {} (\"{}\"), step {}", agreed + 1, case.description, number + 1);
                    format!("{place}: {agreed} of {} cases agree", cases.len())
                })?;
            }
        }
        println!("{0} of {0} cases agree, {packets} packets in {1:.0?}", cases.len(), started.elapsed());
        Ok(())
    })
}

/// A node that all pods of the oracle are on.
struct Node<'a> {
    twin: &'a mut Twin,
    veths: Vec<u32>,
    bindings: BTreeMap<PodKey, Binding>,
    compiled: Compiled,
}

impl Node<'_> {
    /// The number of packets, all of which got what the oracle says.
    fn run(&mut self, step: &Step) -> Result<usize> {
        self.enforce(&step.world()?)?;
        let mut packets = 0;
        for probe in step.probes() {
            let [ingress, egress] = self.send(&probe)?.map(cyclonus_word);
            let [said_ingress, said_egress, _] = probe.said;
            ensure!(
                [ingress, egress] == [said_ingress, said_egress],
                "ingress and egress are {ingress} and {egress}, cyclonus says {probe:?}"
            );
            packets += 2;
        }
        Ok(packets)
    }

    /// Flows of the world before are forgotten: the oracle's are new connections.
    fn enforce(&mut self, world: &World) -> Result<()> {
        for (key, pod) in &world.pods {
            let number = self.bindings.len();
            if !self.bindings.contains_key(key) {
                let ifindex = *self.veths.get(number).with_context(|| format!("no veth is left for {key}"))?;
                self.bindings.insert(key.clone(), binding(key, &pod.addresses, ifindex, u8::try_from(number)?));
            }
        }
        let present =
            self.bindings.values().filter(|it| it.pod.as_ref().is_some_and(|key| world.pods.contains_key(key)));
        let node = NodeView { name: "lab".to_owned(), endpoints: present.cloned().collect(), ..NodeView::default() };
        let config = Config::default();
        let input = Input { world, config: &config, node: &node };
        self.compiled = compile(&input, &self.twin.ids(), Some(&self.compiled))?;
        self.twin.load_and_leave(self.compiled.desired.clone());
        self.twin.forget();
        Ok(())
    }

    /// What the receiver's veth and the sender's say to the packet, each on its own.
    fn send(&mut self, probe: &Probe<'_>) -> Result<[Verdict; 2]> {
        let (from, to) = (self.local(probe.from)?, self.local(probe.to)?);
        let ends = Ends { source_mac: from.mac, destination_mac: to.mac, source: ipv4(from)?, destination: ipv4(to)? };
        let (sender, receiver) = (from.ifindex, to.ifindex);
        let frame = first_packet(&ends, probe.port.parse().map_err(anyhow::Error::msg)?);
        let sent = self.twin.run(Direction::Egress, &HostFrame::new(frame.clone(), sender, sender));
        let delivered = self.twin.run(Direction::Ingress, &HostFrame::new(frame, receiver, sender));
        Ok([delivered, sent].map(|seen| seen.outcome.verdict))
    }

    fn local(&self, pod: &str) -> Result<&Binding> {
        let End::Pod(key) = pod.parse().map_err(anyhow::Error::msg)? else { bail!("{pod} is no pod") };
        self.bindings.get(&key).with_context(|| format!("{pod} is not on the node"))
    }
}

fn binding(key: &PodKey, addresses: &[IpAddr], ifindex: u32, number: u8) -> Binding {
    Binding {
        slot: u32::from(number),
        id: u32::from(number) + 1,
        ifindex,
        mac: [2, 0, 0, 0, 0, number + 1],
        addresses: addresses.to_vec(),
        pod: Some(key.clone()),
        adopt_until: 0,
    }
}

fn ipv4(pod: &Binding) -> Result<IpAddr> {
    let own = pod.addresses.iter().copied().find(IpAddr::is_ipv4);
    own.with_context(|| format!("{pod:?} has no IPv4 address"))
}

fn first_packet(ends: &Ends, port: FlowPort) -> Vec<u8> {
    match port {
        FlowPort::Transport(Protocol::Tcp, port) => ends.tcp(SOURCE_PORT, port, SYN),
        FlowPort::Transport(Protocol::Udp, port) => ends.udp(SOURCE_PORT, port),
        FlowPort::Transport(Protocol::Sctp, port) => ends.sctp(SOURCE_PORT, port, INIT),
        FlowPort::Icmp => ends.echo(true, SOURCE_PORT),
    }
}

const fn cyclonus_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow(_) => "allowed",
        Verdict::Drop(_) => "blocked",
    }
}
