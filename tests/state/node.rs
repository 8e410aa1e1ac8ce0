//! The agent's loop on real veths: it finds pods, enforces, is restarted, and is taken away.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use agent::kernel::{MapCapacities, Maps};
use agent::node::{EndpointState, Enforcement, uninstall};
use aya::programs::{SchedClassifier, TcAttachType};
use common::abi::{DropReason, VERSION};
use policy::compile::Id;
use tests::found::FoundNode;
use tests::until::Until;

/// `x/server` admits `x/client` on port 80; `x/other` is somebody else.
const WORLD: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: x, labels: {app: client}}
spec: {nodeName: n1, containers: []}
status: {podIPs: [{ip: 10.244.0.11}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: x, labels: {app: server}}
spec: {nodeName: n1, containers: []}
status: {podIPs: [{ip: 10.244.0.12}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: x}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}, {port: 80, protocol: UDP}]}]
---
";
const OTHER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: x}
spec: {nodeName: n1, containers: []}
status: {podIPs: [{ip: 10.244.0.13}]}
---
";
/// Nobody may open anything to the client: what it is answered passes only because it asked.
const SHUT: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut, namespace: x}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Ingress]}
---
";
const SERVER: (&str, u8) = ("server", 12);

fn scene(label: &str) -> FoundNode {
    let mut node = FoundNode::new(label);
    node.add_pod("client", 11);
    node.add_pod("server", 12);
    node
}

fn programs(node: &FoundNode, veth: &str) -> usize {
    let hooks = [TcAttachType::Ingress, TcAttachType::Egress];
    let at = |hook| SchedClassifier::query_tcx(veth, hook).unwrap().1.len();
    node.ns.run(|| hooks.into_iter().map(at).sum()).unwrap()
}

fn drops(node: &FoundNode, reason: DropReason) -> u64 {
    let maps = Maps::open(&node.pins, &MapCapacities::default()).unwrap();
    let drops = maps.drops().unwrap();
    drops.iter().filter(|(key, _)| key.reason() == Some(reason)).map(|(_, traffic)| traffic.packets).sum()
}

/// The key of the digests in the node's map.
fn secret(node: &FoundNode) -> Option<[u8; 16]> {
    let maps = Maps::open(&node.pins, &MapCapacities::default()).unwrap();
    maps.observe().unwrap().ids.0.get(&Id::SECRET).copied()
}

/// A connection from the client to port 80 of the server.
fn connect(node: &FoundNode) -> (TcpStream, TcpStream) {
    let listener = node.pod("server").run(|| TcpListener::bind("0.0.0.0:80")).unwrap().unwrap();
    let near = node.pod("client").run(|| TcpStream::connect("10.244.0.12:80")).unwrap().unwrap();
    (near, listener.accept().unwrap().0)
}

fn talk((near, far): &mut (TcpStream, TcpStream)) {
    near.write_all(b"ping").unwrap();
    far.read_exact(&mut [0; 4]).unwrap();
    far.write_all(b"pong").unwrap();
    near.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn pods_that_run_already_are_enforced_and_keep_what_policy_allows() {
    let node = scene("install");
    let mut connection = connect(&node);
    talk(&mut connection);
    let agent = node.agent();
    agent.wait(|status| matches!(&status.enforcement, Enforcement::AwaitingSync { missing } if !missing.is_empty()));
    assert_eq!(programs(&node, "veth12"), 0, "without a world nothing can be told, and nothing was enforced before");
    assert!(node.reaches("client", SERVER, 9999));
    agent.world(&format!("{WORLD}{SHUT}"));
    let status = agent.wait_for_enforced(2);
    assert_eq!(status.enforcement, Enforcement::Enforcing);
    // The client has not asked since: only the adoption window lets this in.
    connection.1.write_all(b"news").unwrap();
    connection.0.read_exact(&mut [0; 4]).unwrap();
    talk(&mut connection);
    assert!(node.reaches("client", SERVER, 80));
    assert!(!node.reaches("client", SERVER, 9999));
    assert_eq!(drops(&node, DropReason::DefaultDeny), 1);
    let mut connection = connect(&node);
    talk(&mut connection);
}

#[test]
fn a_pod_that_nobody_knows_yet_drops_until_its_name_comes() {
    let mut node = scene("pending");
    let agent = node.agent();
    agent.world(WORLD);
    agent.wait_for_enforced(2);
    node.add_pod("other", 13);
    agent.wait(|status| status.endpoints.len() == 3 && status.count(EndpointState::Pending) == 1);
    assert!(!node.reaches("other", ("client", 11), 9999));
    assert_ne!(drops(&node, DropReason::NotReady), 0);
    agent.world(&format!("{WORLD}{OTHER}"));
    let status = agent.wait_for_enforced(3);
    assert!(status.endpoints.iter().all(|endpoint| endpoint.problem.is_none()), "{status:#?}");
    assert!(node.reaches("other", ("client", 11), 9999));
    assert!(!node.reaches("other", SERVER, 80));
    node.remove_pod("other");
    agent.wait(|status| status.endpoints.len() == 2);
}

/// A tunnel that the node gets while its agent runs.
#[test]
fn the_port_of_a_tunnel_device_is_closed_from_when_it_is_there() {
    let node = scene("tunnel");
    let agent = node.agent();
    agent.world(WORLD);
    agent.wait_for_enforced(2);
    let tunnel = |port: u16| {
        let before = drops(&node, DropReason::Tunnel);
        let socket = node.socket("client", 0);
        socket.send_to(b"inner", ("10.244.0.1", port)).unwrap();
        drops(&node, DropReason::Tunnel) - before
    };
    let closes = |port: u16| {
        (0..500).any(|_| {
            thread::sleep(std::time::Duration::from_millis(10));
            tunnel(port) != 0
        })
    };
    assert_eq!([tunnel(8472), tunnel(4790), tunnel(6082), tunnel(7999)], [1, 0, 0, 0]);
    node.ns.ip("link add vx0 type vxlan id 7 dstport 4790 dev cni0");
    assert!(closes(4790));
    // The kernel of this machine has no Geneve: a second VXLAN at another port.
    node.ns.ip("link add vx1 type vxlan id 8 dstport 6082 dev cni0");
    assert!(closes(6082));
    assert_eq!(tunnel(7999), 0);
    node.ns.ip("link del vx0");
    assert!((0..500).any(|_| {
        thread::sleep(std::time::Duration::from_millis(10));
        tunnel(4790) == 0
    }));
}

#[test]
fn what_is_enforced_outlives_the_agent_and_its_successor_takes_over() {
    let mut node = scene("takeover");
    let agent = node.agent();
    agent.world(WORLD);
    let first = agent.wait_for_enforced(2);
    let mut connection = connect(&node);
    let first_secret = secret(&node);
    assert!(first_secret.is_some_and(|bits| bits != [0; 16]), "{first_secret:?}");
    drop(agent);
    assert!(!node.reaches("client", SERVER, 9999), "nobody is there and it is enforced");
    assert!(node.reaches("client", SERVER, 80));
    talk(&mut connection);
    node.add_pod("other", 13);
    let agent = node.agent();
    let status = agent.wait(|status| status.endpoints.len() == 3);
    assert!(matches!(status.enforcement, Enforcement::AwaitingSync { .. }));
    agent.wait(|status| status.endpoints.iter().all(|endpoint| endpoint.problem.is_none()));
    assert!(!node.reaches("client", SERVER, 9999), "no world is known and it is enforced");
    assert!(node.reaches("client", SERVER, 80));
    assert!(!node.reaches("other", ("client", 11), 9999), "came while nobody was there");
    assert!(node.node_reaches(("other", 13), 9999), "its own node may see whether it lives");
    talk(&mut connection);
    agent.world(&format!("{WORLD}{OTHER}"));
    let second = agent.wait_for_enforced(3);
    let ids = |status: &agent::node::Status| -> Vec<u32> { status.endpoints.iter().map(|it| it.id).collect() };
    assert_eq!(ids(&first)[..], ids(&second)[..2], "bindings are remembered");
    assert_eq!(secret(&node), first_secret, "numbers stand for what they stood for");
    assert!(!node.reaches("other", SERVER, 80));
    talk(&mut connection);
}

#[test]
fn a_world_without_this_node_cuts_nobody_off() {
    let node = scene("stranger");
    let agent = node.agent();
    agent.world(&WORLD.replace("n1", "n2"));
    let says = |status: &agent::node::Status| format!("{:?}", status.enforcement);
    agent.wait(|status| says(status).contains("no Node is named n1: give its name with --node-name"));
    assert_eq!(programs(&node, "veth12"), 0);
    agent.world(WORLD);
    agent.wait_for_enforced(2);
    agent.world(&WORLD.replace("n1", "n2"));
    agent.wait(|status| says(status).contains("no Node is named n1"));
    assert!(node.reaches("client", SERVER, 80));
    assert!(!node.reaches("client", SERVER, 9999));
}

#[test]
fn other_veths_get_no_programs() {
    let node = scene("foreign");
    node.ns.ip("link add docker0 type veth peer name far0");
    let elsewhere = tests::netns::TestNetNs::new("elsewhere");
    node.ns.ip(&format!("link add docker1 type veth peer name eth0 netns {}", elsewhere.name()));
    elsewhere.ip("address add 172.17.0.2/16 dev eth0");
    let agent = node.agent();
    agent.world(WORLD);
    let status = agent.wait_for_enforced(2);
    assert_eq!([programs(&node, "docker0"), programs(&node, "docker1"), programs(&node, "veth12")], [0, 0, 2]);
    assert_eq!(status.findings, ["docker1 (172.17.0.2) has no address in a pod range and is left alone"]);
}

#[test]
fn uninstalling_leaves_nothing() {
    let node = scene("uninstall");
    let agent = node.agent();
    agent.world(WORLD);
    agent.wait_for_enforced(2);
    drop(agent);
    let state = node.state().to_owned();
    for _ in 0..2 {
        node.ns.run(|| uninstall(&node.pins, &[&state])).unwrap().unwrap();
    }
    assert_eq!(programs(&node, "veth12"), 0);
    assert!(!node.pins.exist() && !state.exists());
    assert!(node.reaches("client", SERVER, 9999));
}

/// What goes on while agents come and go: the client floods the server with what is denied, and talks to it.
fn under_load(node: &FoundNode, work: impl FnOnce(&mut dyn FnMut())) {
    let denied = node.socket("server", 9999);
    let flood = node.socket("client", 0);
    let mut connection = connect(node);
    let until = Until::default();
    let sent: u64 = thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let mut sent = 0;
            while until.goes_on() {
                sent += u64::from(flood.send_to(b"denied", "10.244.0.12:9999").is_ok());
            }
            sent
        });
        let end = until.dropped();
        work(&mut || talk(&mut connection));
        drop(end);
        sent.join().unwrap()
    });
    denied.set_nonblocking(true).unwrap();
    assert!(denied.recv(&mut [0; 16]).is_err(), "one of {sent} has passed");
    println!("0 of {sent} denied datagrams have passed");
}

#[test]
fn restarts_let_nothing_through_and_break_nothing() {
    let node = scene("flood");
    let mut agent = node.agent();
    agent.world(&format!("{WORLD}{SHUT}"));
    agent.wait_for_enforced(2);
    under_load(&node, |talk| {
        for _ in 0..5 {
            drop(agent);
            talk();
            agent = node.agent();
            talk();
            agent.world(&format!("{WORLD}{SHUT}"));
            agent.wait_for_enforced(2);
            talk();
        }
    });
}

fn programs_of(node: &FoundNode, veth: &str) -> Vec<u32> {
    let hooks = [TcAttachType::Ingress, TcAttachType::Egress];
    let at = |hook| SchedClassifier::query_tcx(veth, hook).unwrap().1;
    node.ns.run(|| hooks.into_iter().flat_map(at).map(|program| program.id()).collect()).unwrap()
}

#[test]
fn an_upgrade_of_the_layouts_and_the_way_back_let_nothing_through_and_break_nothing() {
    let node = scene("upgrade");
    let mut agent = node.agent();
    agent.world(&format!("{WORLD}{SHUT}"));
    agent.wait_for_enforced(2);
    under_load(&node, |talk| {
        for version in [VERSION + 1, VERSION, VERSION + 1] {
            drop(agent);
            let before = programs_of(&node, "veth12");
            agent = node.agent_of(version);
            agent.wait(|status| status.endpoints.len() == 2);
            talk();
            assert_eq!(programs_of(&node, "veth12"), before, "without a world its maps are empty");
            agent.world(&format!("{WORLD}{SHUT}"));
            agent.wait_for_enforced(2);
            talk();
            assert_ne!(programs_of(&node, "veth12"), before);
            let folders = std::fs::read_dir(node.pins.root()).unwrap();
            let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            folders.sort();
            assert_eq!(folders, ["links".to_owned(), format!("v{version}")]);
        }
    });
}
