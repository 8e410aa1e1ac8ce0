//! Restarts under load: no packet that is denied passes, and no connection that is permitted breaks.
//!
//! Each `lab apply` is what a restart of an agent is: it loads the programs again, takes over the pinned maps, and
//! swaps the programs in place on the pinned links.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agent::lab::{Cni, Lab};
use agent::net::NetNs;
use aya::programs::{SchedClassifier, TcAttachType};
use common::abi::Direction::Ingress;
use common::abi::DropReason::DefaultDeny;
use tests::counters::{Counted, Counters};
use tests::inside::{Inside, node};
use tests::lab::{Tried, manifests};
use tests::load::{Load, Sum, connections, received, senders};

/// `x/server` admits `x/client` on TCP port 80, and nobody else; `x/attacker` is somebody else.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: attacker, namespace: x}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x, labels: {app: client}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x, labels: {app: server}}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: x}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}]
---
";
const DENIED: u16 = 9999;
const APPLIES: u16 = 20;
const KILLS: u32 = 12;
/// Connections of each family.
const CONNECTIONS: usize = 2;

/// A policy that changes the server's rules, but nothing for anybody here.
fn irrelevant(port: u16) -> String {
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: irrelevant, namespace: x}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  ingress: [{{from: [{{ipBlock: {{cidr: 198.51.100.0/24}}}}], ports: [{{port: {port}}}]}}]
---
"
    )
}

/// The programs at a veth, by the numbers that the kernel gives each load of a program.
fn programs(node: &NetNs, veth: &str) -> Vec<u32> {
    let hooks = [TcAttachType::Ingress, TcAttachType::Egress];
    let at = |hook| SchedClassifier::query_tcx(veth, hook).expect("TCX").1;
    node.run(|| hooks.into_iter().flat_map(at).map(|program| program.id()).collect()).unwrap()
}

/// A lab under load, and the veth by which the denied packets would arrive.
struct Bench<'a> {
    tried: &'a Tried,
    veth: String,
    node: NetNs,
    counters: Counters,
    /// Every program that ran.
    seen: BTreeSet<Vec<u32>>,
}

impl Bench<'_> {
    /// The load was there: something was denied since the last call.
    fn look(&mut self) {
        let programs = programs(&self.node, &self.veth);
        assert_eq!(programs.len(), 2, "both programs are there");
        self.seen.insert(programs);
        let dropped = self.counters.wait_for(1);
        assert_eq!(dropped.keys().collect::<Vec<_>>(), [&(Ingress, DefaultDeny)], "{dropped:?}");
        self.counters.restart();
    }

    /// The same world and another one in turn. How long one takes.
    fn apply(&mut self, lab: &mut Lab) -> Duration {
        let mut taken = Duration::ZERO;
        for number in 0..APPLIES {
            let world = if number % 2 == 0 { WORLD.to_owned() } else { irrelevant(1000 + number) };
            let begin = Instant::now();
            lab.apply(manifests(&world)).expect("apply");
            taken += begin.elapsed();
            self.look();
        }
        taken / u32::from(APPLIES)
    }

    /// `bulkhead lab apply`, killed a little later each time. How many of the kills met it alive.
    fn kill(&mut self, folder: &Path, whole: Duration) -> u32 {
        let mut killed = 0;
        for number in 0..KILLS {
            let file = world_file(folder, number);
            let mut command = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead"));
            command.args(["lab", "apply", "--name", &self.tried.0.to_string(), "-f"]).arg(file);
            let mut process = command.stderr(Stdio::null()).spawn().expect("bulkhead");
            thread::sleep(whole * number / KILLS);
            process.kill().expect("SIGKILL");
            killed += u32::from(process.wait().expect("its end").code().is_none());
            self.look();
        }
        killed
    }
}

fn world_file(folder: &Path, number: u32) -> PathBuf {
    let file = folder.join("changed.yaml");
    std::fs::write(&file, irrelevant(2000 + u16::try_from(number).unwrap())).unwrap();
    file
}

fn under_load(cni: Cni) {
    let tried = Tried::new(&format!("restart-{cni}"));
    let mut lab = tried.up(manifests(WORLD), &Tried::options(cni));
    let [attacker, client, server] = ["attacker", "client", "server"].map(|name| Inside::new(&lab, cni, "x", name));
    let denied = server.run(|| server.addresses.map(|ip| UdpSocket::bind(SocketAddr::new(ip, DENIED)).unwrap()));
    let connections = connections(&client.netns, &server.netns, server.addresses, 80, CONNECTIONS);
    let counters = Counters::open(lab.name());
    assert_eq!(counters.since(), Counted::new());
    let mut bench =
        Bench { tried: &tried, veth: server.veth.clone(), node: node(&lab), counters, seen: BTreeSet::new() };
    let flood = attacker.run(|| senders(attacker.addresses, server.addresses, DENIED));
    let (load, folder) = (Load::default(), tempfile::tempdir().unwrap());
    let (restarts, killed) = load.during(&flood, connections, || {
        let whole = bench.apply(&mut lab);
        drop(lab);
        let killed = bench.kill(folder.path(), whole);
        Lab::open(&tried.0).expect("still up").apply(manifests(WORLD)).expect("the last killed one is no obstacle");
        bench.look();
        (bench.seen.len(), killed)
    });
    let arrived: usize = denied.iter().map(received).sum();
    let Sum { sent, answered, broken } = load.sum();
    println!(
        "{cni}: {restarts} generations of programs in {APPLIES} applies and {killed} kills of {KILLS}: {arrived} of \
         {sent} denied packets received, {broken} of {} TCP connections broken ({answered} requests answered)",
        2 * CONNECTIONS
    );
    assert_eq!((arrived, broken), (0, 0));
    assert!(restarts > usize::from(APPLIES), "every apply swaps the programs");
    assert!(killed > KILLS / 4, "most of the commands are killed in the middle");
}

#[test]
fn restarts_let_nothing_through_and_break_nothing() {
    for cni in [Cni::Ptp, Cni::Bridge] {
        under_load(cni);
    }
}
