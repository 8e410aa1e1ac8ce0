//! What one pod's floods leave to others: events, and places for fragments.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent::events::EventReader;
use agent::kernel::{Attachment, Datapath, Frame};
use common::abi::{Direction, DropReason, Endpoint, Interface, Mac, Profile};
use policy::compile::{Desired, Tables};
use tests::datapath::{MAC, TENANT, TestNode};

const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const FLOOD: u32 = 100_000;
const OUTSIDE: [u8; 4] = [192, 0, 2, 1];

/// A UDP datagram to port 53.
fn datagram(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    fragment(source, destination, 0, 0)
}

/// One of its fragments: an id, and the word of flags and offset.
fn fragment(source: [u8; 4], destination: [u8; 4], id: u16, flags: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1];
    frame.extend(MAC);
    frame.extend([0x08, 0x00, 0x45, 0, 0, 28]);
    frame.extend(id.to_be_bytes());
    frame.extend(flags.to_be_bytes());
    frame.extend([64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    frame
}

/// A pod's own address.
const fn address(slot: u32) -> [u8; 4] {
    [10, 244, 0, slot as u8]
}

/// So many pods behind so many veths: their interface indexes. Each has slot and endpoint id of its number.
fn crowd(node: &TestNode, datapath: &mut Datapath, pods: u32) -> Vec<u32> {
    let veths: Vec<u32> = (0..pods).map(|number| node.add_veth(&format!("crowd{number}"))).collect();
    let mut tables = Tables::default();
    tables.profiles.insert(1, Profile { tenant: TENANT, written: 1, ..Profile::default() });
    for (slot, &ifindex) in (1..).zip(&veths) {
        tables.interfaces.insert(ifindex, Interface::endpoint(ifindex, slot));
        let (v4, mac) = (address(slot), Mac::new(MAC));
        let endpoint = Endpoint { profile: 1, id: slot, ifindex, v4, mac, flags: 0, adopt_until: 0, v6: [0; 16] };
        tables.endpoints.insert(slot, endpoint);
    }
    datapath.maps.reconcile(&Desired { tables, ..Desired::default() }).expect("bind the pods");
    veths
}

/// Drops at a pod's veth, of what it sends under a foreign address.
fn drops(node: &TestNode, datapath: &mut Datapath, ifindex: u32, count: u32, destination: [u8; 4]) {
    let bytes = datagram(OUTSIDE, destination);
    let frame = Frame { bytes: &bytes, ifindex, ingress_ifindex: ifindex };
    let run = node.inside(|| datapath.test_run(Direction::Egress, &frame, count).expect("run"));
    assert_eq!(run.action, TC_ACT_SHOT);
}

#[test]
fn a_flood_of_drops_leaves_the_events_of_others() {
    let node = TestNode::new("floods");
    let mut datapath = node.open(Attachment::Auto);
    let veths = crowd(&node, &mut datapath, 9);
    let mut reader = EventReader::open(&node.pins).expect("the ring");
    let told = |reader: &mut EventReader| {
        let mut told = BTreeMap::<u32, usize>::new();
        loop {
            let events = reader.poll(Duration::from_millis(50)).expect("poll");
            if events.is_empty() {
                return told;
            }
            events.iter().for_each(|event| *told.entry(event.endpoint).or_default() += 1);
        }
    };
    // One pod drops as much as it can; another's forty are all told.
    drops(&node, &mut datapath, veths[0], FLOOD, OUTSIDE);
    drops(&node, &mut datapath, veths[8], 40, OUTSIDE);
    let of = told(&mut reader);
    assert_eq!(of[&9], 40);
    assert!(of[&1] < 2000, "a share of each second, on each CPU: {of:?}");
    let earlier = of.values().sum::<usize>() as u64;

    // Eight drop more than everybody may have together.
    for &veth in &veths[..8] {
        drops(&node, &mut datapath, veth, FLOOD, OUTSIDE);
    }
    for number in 0..40 {
        drops(&node, &mut datapath, veths[8], 1, [192, 0, 2, number]);
    }
    let of = told(&mut reader);
    assert!(of[&9] >= 10, "a drop of each group of addresses is told whatever others do: {of:?}");
    let events = earlier + of.values().sum::<usize>() as u64;
    let dropped = u64::from(9 * FLOOD + 40 + 40);
    assert_eq!(events + datapath.maps.events_lost().expect("lost"), dropped, "what is not told is counted");
}

#[test]
fn what_a_pod_receives_too_much_of_leaves_the_events_of_its_other_drops() {
    let node = TestNode::new("victim");
    let mut datapath = node.open(Attachment::Auto);
    let veths = crowd(&node, &mut datapath, 1);
    let mut reader = EventReader::open(&node.pins).expect("the ring");
    // A datagram for an address that the pod does not have, from outside.
    let bytes = datagram(OUTSIDE, [10, 244, 0, 77]);
    let frame = Frame { bytes: &bytes, ifindex: veths[0], ingress_ifindex: node.veth() };
    let run = node.inside(|| datapath.test_run(Direction::Ingress, &frame, FLOOD).expect("run"));
    assert_eq!(run.action, TC_ACT_SHOT);
    // What it sends under a foreign address is another kind of drop.
    drops(&node, &mut datapath, veths[0], 1, OUTSIDE);
    let mut kinds = BTreeSet::new();
    loop {
        let events = reader.poll(Duration::from_millis(50)).expect("poll");
        if events.is_empty() {
            break;
        }
        kinds.extend(events.iter().map(|event| (event.hook, event.reason)));
    }
    assert!(kinds.contains(&(Direction::Egress as u8, DropReason::SpoofedSource as u8)), "{kinds:?}");
    assert!(kinds.iter().any(|(hook, _)| *hook == Direction::Ingress as u8), "{kinds:?}");
}

#[test]
fn a_flood_of_first_fragments_takes_its_own_pod_s_places() {
    const FIRST: u16 = 0x2000;
    const LATER: u16 = 0x0001;
    let node = TestNode::new("fragments");
    let mut datapath = node.open(Attachment::Auto);
    let veths = crowd(&node, &mut datapath, 2);
    let mut send = |slot: u32, id: u16, flags: u16, count: u32| {
        let (bytes, ifindex) = (fragment(address(slot), OUTSIDE, id, flags), veths[slot as usize - 1]);
        let frame = Frame { bytes: &bytes, ifindex, ingress_ifindex: ifindex };
        node.inside(|| datapath.test_run(Direction::Egress, &frame, count).expect("run")).action
    };
    assert_eq!([send(1, 1, FIRST, 1), send(1, 1, LATER, 1)], [TC_ACT_UNSPEC; 2]);
    assert_eq!(send(1, 2, LATER, 1), TC_ACT_SHOT, "its first one has not been seen");
    // A second is over before the flood is seen: so again.
    let refused = (10..40).any(|id| {
        assert_eq!(send(1, 3, FIRST, FLOOD), TC_ACT_UNSPEC);
        let own = [send(1, id, FIRST, 1), send(1, id, LATER, 1)];
        let others = [send(2, id, FIRST, 1), send(2, id, LATER, 1)];
        assert_eq!(others, [TC_ACT_UNSPEC; 2], "another pod's fragments pass");
        own == [TC_ACT_UNSPEC, TC_ACT_SHOT]
    });
    assert!(refused, "it enters no more than its share");
}
