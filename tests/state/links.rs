//! Programs on the hooks of real veths: attached, swapped, detached, and nobody else's touched.
#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::io::Write;
use std::net::UdpSocket;

use agent::kernel::{Attachment, Datapath, Pins, destroy};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType};
use common::abi::{Direction, DropKey, DropReason, Traffic};
use tests::cluster::eventually;
use tests::datapath::{PEER, TestNode, VETH};

/// Names of the TCX programs at a hook of the veth, first in the chain first.
fn tcx(node: &TestNode, hook: TcAttachType) -> Vec<String> {
    // A kernel without TCX calls the question invalid: nothing is attached that way.
    let Ok((_, programs)) = node.inside(|| SchedClassifier::query_tcx(VETH, hook)) else { return Vec::new() };
    programs.iter().map(|program| program.name_as_str().unwrap_or_default().to_owned()).collect()
}

fn tcx_ids(node: &TestNode, hook: TcAttachType) -> Vec<u32> {
    let (_, programs) = node.inside(|| SchedClassifier::query_tcx(VETH, hook).expect("query"));
    programs.iter().map(aya::programs::ProgramInfo::id).collect()
}

fn filters(node: &TestNode, hook: &str) -> String {
    node.ns.command("tc", &format!("filter show dev {VETH} {hook}"))
}

fn attach(node: &TestNode, datapath: &mut Datapath) {
    let veth = node.veth();
    node.inside(|| datapath.attach(veth, VETH).expect("attach"));
}

fn link_id(pins: &Pins, name: &str) -> u32 {
    let link = FdLink::from(PinnedLink::from_pin(pins.links().join(name)).expect("the pin"));
    link.info().expect("the link").id()
}

/// One UDP datagram out of the pod's side of the veth.
fn broadcast(node: &TestNode) {
    node.ns.ip(&format!("addr add 10.244.0.5/24 dev {PEER}"));
    node.inside(|| {
        let socket = UdpSocket::bind("10.244.0.5:0").expect("a socket");
        socket.set_broadcast(true).expect("broadcasts");
        socket.send_to(b"hello", "10.244.0.255:9").expect("send");
    });
}

fn is_not_ready((key, _): &(DropKey, Traffic)) -> bool {
    key.reason() == Some(DropReason::NotReady)
}

#[test]
fn both_programs_are_attached_and_outlive_the_process() {
    let node = TestNode::new("tcx");
    let mut datapath = node.open(Attachment::Auto);
    attach(&node, &mut datapath);
    drop(datapath);
    assert_eq!(tcx(&node, TcAttachType::Ingress), ["from_pod"]);
    assert_eq!(tcx(&node, TcAttachType::Egress), ["to_pod"]);
}

#[test]
fn attaching_leaves_the_machines_grace_periods_as_they_were() {
    let is_off = || fs::read_to_string("/sys/kernel/rcu_expedited").expect("the switch").trim() == "0";
    // Other tests attach, too: it may be on for a moment.
    eventually("a machine that has /sys/kernel/rcu_expedited off", 10, || is_off().then_some(()));
    let node = TestNode::new("expedited");
    attach(&node, &mut node.open(Attachment::Auto));
    eventually("off again", 10, || is_off().then_some(()));
}

#[test]
fn a_second_attach_and_a_restart_swap_in_place() {
    let node = TestNode::new("swap");
    let mut first = node.open(Attachment::Auto);
    attach(&node, &mut first);
    let link = format!("{}-egress", node.veth());
    let (id, program) = (link_id(&node.pins, &link), tcx_ids(&node, TcAttachType::Ingress));
    drop(first);

    let mut second = node.open(Attachment::Auto);
    assert_eq!(tcx_ids(&node, TcAttachType::Ingress), program, "opening swaps nothing yet");
    node.inside(|| second.swap_links().expect("swap"));
    let swapped = tcx_ids(&node, TcAttachType::Ingress);
    assert_ne!(swapped, program);
    assert_eq!(link_id(&node.pins, &link), id, "the same link, another program");

    attach(&node, &mut second);
    assert_eq!(tcx_ids(&node, TcAttachType::Ingress), swapped);
    assert_eq!(link_id(&node.pins, &link), id);
}

#[test]
fn ours_comes_first_and_another_program_stays() {
    let node = TestNode::new("order");
    let foreign = TestNode::new("foreign");
    let mut other = foreign.open(Attachment::Auto);
    attach(&node, &mut other);
    let theirs = tcx_ids(&node, TcAttachType::Ingress);

    let mut ours = node.open(Attachment::Auto);
    attach(&node, &mut ours);
    let both = tcx_ids(&node, TcAttachType::Ingress);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1..], theirs);

    // Ours lets the pod's packet pass, and then theirs runs: it knows of no pod here, and drops.
    node.bind(&mut ours.maps);
    broadcast(&node);
    assert_eq!(ours.maps.forwarded(Direction::Egress).expect("counter").packets, 1);
    let dropped = other.maps.drops().expect("counters").into_iter().filter(is_not_ready);
    assert_ne!(dropped.map(|(_, traffic)| traffic.packets).sum::<u64>(), 0);

    let veth = node.veth();
    node.inside(|| ours.detach(veth).expect("detach"));
    assert_eq!(tcx_ids(&node, TcAttachType::Ingress), theirs);
    node.destroy();
    assert_eq!(tcx_ids(&node, TcAttachType::Ingress), theirs);
}

#[test]
fn a_link_whose_veth_went_away_is_replaced_or_forgotten() {
    let node = TestNode::new("dead");
    let mut datapath = node.open(Attachment::Auto);
    attach(&node, &mut datapath);
    let old = node.veth();
    node.ns.ip(&format!("link del {VETH}"));
    // The same index again: the pins of the veth that went away are in the way.
    node.ns.ip(&format!("link add {VETH} index {old} type veth peer name peer0"));
    attach(&node, &mut datapath);
    assert_eq!(tcx(&node, TcAttachType::Ingress), ["from_pod"]);

    node.ns.ip(&format!("link del {VETH}"));
    assert!(datapath.attached().expect("list").contains(&old));
    node.inside(|| datapath.swap_links().expect("swap"));
    assert!(datapath.attached().expect("list").is_empty());
}

#[test]
fn an_interface_with_another_index_than_meant_is_refused() {
    let node = TestNode::new("renamed");
    let mut datapath = node.open(Attachment::Auto);
    let error = node.inside(|| datapath.attach(4000, VETH).expect_err("not interface 4000"));
    assert!(format!("{error:#}").contains("is now interface"), "{error:#}");
    let error = node.inside(|| datapath.attach(4000, "nobody").expect_err("no such interface"));
    assert!(format!("{error:#}").contains("nobody is gone"), "{error:#}");
    assert!(tcx(&node, TcAttachType::Ingress).is_empty());
    assert!(datapath.attached().expect("list").is_empty());
}

#[test]
fn filters_do_the_same_where_there_is_no_tcx() {
    let node = TestNode::new("clsact");
    let mut first = node.open(Attachment::Clsact);
    attach(&node, &mut first);
    drop(first);
    let before = filters(&node, "ingress");
    assert!(before.contains("pref 1 ") && before.contains("from_pod") && before.contains("0xb01cead1"), "{before}");
    assert!(filters(&node, "egress").contains("to_pod"));
    assert!(tcx(&node, TcAttachType::Ingress).is_empty());

    let mut second = node.open(Attachment::Clsact);
    node.inside(|| second.swap_links().expect("swap"));
    let after = filters(&node, "ingress");
    assert_ne!(after, before, "another program");
    assert_eq!(after.matches(" name from_pod ").count(), 1, "{after}");
    attach(&node, &mut second);
    assert_eq!(filters(&node, "ingress").matches(" name from_pod ").count(), 1);
}

#[test]
fn another_filter_stays_when_ours_goes() {
    let node = TestNode::new("filters");
    let mut datapath = node.open(Attachment::Clsact);
    node.ns.command("tc", &format!("qdisc add dev {VETH} clsact"));
    let mut bytecode = tempfile::NamedTempFile::new().expect("a file");
    write!(bytecode, "1,6 0 0 0").expect("one classic BPF instruction: no match");
    let path = bytecode.path().display();
    node.ns.command("tc", &format!("filter add dev {VETH} ingress pref 7 bpf bytecode-file {path}"));
    attach(&node, &mut datapath);
    let both = filters(&node, "ingress");
    assert!(both.contains("pref 7 ") && both.contains("from_pod"), "{both}");

    node.destroy();
    let left = filters(&node, "ingress");
    assert!(left.contains("pref 7 ") && !left.contains("from_pod"), "{left}");
}

#[test]
fn a_filter_in_our_place_is_an_error_and_stays() {
    let node = TestNode::new("place");
    let foreign = TestNode::new("holder");
    let mut other = foreign.open(Attachment::Clsact);
    attach(&node, &mut other);
    let theirs = filters(&node, "ingress");

    let mut ours = node.open(Attachment::Clsact);
    let veth = node.veth();
    let error = node.inside(|| ours.attach(veth, VETH).expect_err("the place is taken"));
    assert!(format!("{error:#}").contains("another filter has our place"), "{error:#}");
    node.destroy();
    assert_eq!(filters(&node, "ingress"), theirs);
}

#[test]
fn a_changed_hook_moves_the_programs() {
    let node = TestNode::new("move");
    let mut clsact = node.open(Attachment::Clsact);
    attach(&node, &mut clsact);
    let mut auto = node.open(Attachment::Auto);
    attach(&node, &mut auto);
    assert_eq!(tcx(&node, TcAttachType::Ingress), ["from_pod"]);
    assert!(!filters(&node, "ingress").contains("from_pod"));
    attach(&node, &mut clsact);
    assert!(tcx(&node, TcAttachType::Ingress).is_empty());
    assert!(filters(&node, "ingress").contains("from_pod"));
}

#[test]
fn a_filter_in_another_namespace_is_left_alone() {
    let node = TestNode::new("here");
    let elsewhere = TestNode::new("there");
    let mut datapath = node.open(Attachment::Clsact);
    attach(&node, &mut datapath);
    let mut other = elsewhere.open(Attachment::Clsact);
    attach(&elsewhere, &mut other);
    // A lab whose namespace is gone is taken down from another one, where the indices are other interfaces'.
    let before = filters(&elsewhere, "ingress");
    elsewhere.inside(|| destroy(&node.pins).expect("destroy"));
    assert_eq!(filters(&elsewhere, "ingress"), before);
    assert!(!node.pins.exist());
}

#[test]
fn destroying_twice_and_half_a_datapath_leaves_nothing() {
    for attachment in [Attachment::Auto, Attachment::Clsact] {
        let node = TestNode::new("destroy");
        let mut datapath = node.open(attachment);
        attach(&node, &mut datapath);
        drop(datapath);
        node.destroy();
        assert!(tcx(&node, TcAttachType::Ingress).is_empty());
        assert!(!filters(&node, "ingress").contains("from_pod"));
        assert!(!node.pins.exist());
        node.destroy();

        fs::create_dir_all(node.pins.links()).expect("what a crash leaves");
        fs::create_dir_all(node.pins.maps()).expect("what a crash leaves");
        node.destroy();
        assert!(!node.pins.exist());
    }
}
