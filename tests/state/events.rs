//! What the programs tell: events in the ring, counters in maps. One packet each, without a wire.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::time::Duration;

use agent::events::EventReader;
use agent::kernel::{Attachment, Datapath, Frame, MapCapacities, Options};
use common::abi::{Address, Counter, Direction, DropKey, DropReason, Peer, PeerKind, TenantId};
use policy::compile::{Id, Kind};
use policy::plan::{Op, Plan};
use tests::datapath::{ENDPOINT, MAC, POD, TENANT, TestNode};

const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;

const OUTSIDE: [u8; 4] = [192, 0, 2, 1];

/// A UDP datagram from the pod's MAC to port 53.
fn datagram(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1];
    frame.extend(MAC);
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    frame
}

fn send(node: &TestNode, datapath: &mut Datapath, source: [u8; 4]) -> i32 {
    send_to(node, datapath, source, OUTSIDE)
}

fn send_to(node: &TestNode, datapath: &mut Datapath, source: [u8; 4], destination: [u8; 4]) -> i32 {
    let ifindex = node.veth();
    let bytes = datagram(source, destination);
    let frame = Frame { bytes: &bytes, ifindex, ingress_ifindex: ifindex };
    node.inside(|| datapath.test_run(Direction::Egress, &frame, 1).expect("run")).action
}

#[test]
fn a_dropped_packet_is_told_and_counted() {
    let node = TestNode::new("told");
    let mut datapath = node.open(Attachment::Auto);
    node.bind(&mut datapath.maps);
    let mut reader = EventReader::open(&node.pins).expect("the ring");
    assert!(reader.poll(Duration::ZERO).expect("poll").is_empty());

    assert_eq!(send(&node, &mut datapath, [10, 244, 0, 6]), TC_ACT_SHOT);
    let events = reader.poll(Duration::from_secs(1)).expect("poll");
    let [event] = events.as_slice() else { panic!("one packet, one event: {events:?}") };
    assert_eq!(event.reason, DropReason::SpoofedSource as u8);
    assert_eq!(event.source.octets()[12..], [10, 244, 0, 6]);
    assert_eq!((event.endpoint, event.source_port, event.destination_port), (ENDPOINT, 12345, 53));
    assert_eq!(event.source_mac, MAC);

    let drops = datapath.maps.drops().expect("drops");
    let [(key, traffic)] = drops.as_slice() else { panic!("one row: {drops:?}") };
    assert_eq!((key.direction(), key.reason()), (Direction::Egress, Some(DropReason::SpoofedSource)));
    assert_eq!((key.source(), key.is_audited()), (TENANT, false));
    assert_eq!((traffic.packets, traffic.bytes), (1, 42));
}

#[test]
fn drops_are_counted_apart_where_their_keys_share_a_place() {
    let node = TestNode::new("apart");
    let mut datapath = node.open(Attachment::Auto);
    let key = |tenant| DropKey::new(TENANT, TenantId(tenant), Direction::Egress, DropReason::SpoofedSource, false);
    let sharing = (0..TenantId::MAX).filter(|&tenant| key(tenant).place() == key(0).place());
    let tenants: Vec<TenantId> = sharing.take(3).map(TenantId).collect();
    let others = (1_u8..).zip(&tenants).map(|(number, &tenant)| ([10, 244, 1, number], tenant));
    let others: Vec<_> = others.collect();
    let peer =
        |(address, tenant): &([u8; 4], TenantId)| (Address::v4(*address), Peer::new(PeerKind::Pod, 0, 0, *tenant));
    node.bind_among(&mut datapath.maps, others.iter().map(peer).collect());

    for (address, _) in others.iter().chain(&others[1..]) {
        assert_eq!(send_to(&node, &mut datapath, OUTSIDE, *address), TC_ACT_SHOT);
    }
    let counted: Vec<_> =
        datapath.maps.drops().expect("drops").iter().map(|(key, it)| (key.destination(), it.packets)).collect();
    assert_eq!(counted, [(tenants[0], 1), (tenants[1], 2), (tenants[2], 2)]);
}

#[test]
fn counters_of_a_tenant_that_is_gone_are_not_the_next_one_s() {
    let node = TestNode::new("gone");
    let mut datapath = node.open(Attachment::Auto);
    // Two with a place of their own among the rows, and two that share one with those.
    let key = |tenant| DropKey::new(TENANT, TenantId(tenant), Direction::Egress, DropReason::SpoofedSource, false);
    let same =
        |place: u32, but: u32| (1..TenantId::MAX).find(|&it| it != but && key(it).place() == place).expect("one");
    let (gone, stays) = (1, 2);
    let tenants = [gone, stays, same(key(gone).place(), gone), same(key(stays).place(), stays)];
    let addresses = [[10, 244, 1, 1], [10, 244, 1, 2], [10, 244, 1, 3], [10, 244, 1, 4]];
    let peers = addresses.iter().zip(tenants);
    let peers = peers.map(|(it, tenant)| (Address::v4(*it), Peer::new(PeerKind::Pod, 0, 0, TenantId(tenant))));
    node.bind_among(&mut datapath.maps, peers.collect());
    let id = |number| Id { kind: Kind::Tenant, number };
    let ids = tenants.map(|tenant| Op::SetId { id: id(tenant), digest: [tenant as u8; 16] });
    datapath.maps.apply(&Plan { ops: ids.into() }).expect("ids");
    for address in addresses {
        assert_eq!(send_to(&node, &mut datapath, OUTSIDE, address), TC_ACT_SHOT);
    }
    let counted = |datapath: &Datapath| {
        let drops = datapath.maps.drops().expect("drops");
        drops.iter().map(|(key, it)| (key.destination().0, it.packets)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(counted(&datapath), tenants.map(|tenant| (tenant, 1)).into());

    // An agent that ends after the counters and before the number leaves the number taken; another one goes on.
    drop(datapath);
    let mut datapath = node.open(Attachment::Auto);
    let released = [gone, tenants[3]].map(|tenant| Op::RemoveId { id: id(tenant) });
    datapath.maps.apply(&Plan { ops: released.into() }).expect("release");
    assert_eq!(counted(&datapath), [(stays, 1), (tenants[2], 1)].into());
    assert_eq!(datapath.maps.observe().expect("observe").ids.of(Kind::Tenant).count(), 2);

    // Whoever has the number now begins at nothing.
    for address in addresses {
        assert_eq!(send_to(&node, &mut datapath, OUTSIDE, address), TC_ACT_SHOT);
    }
    assert_eq!(counted(&datapath), [(gone, 1), (stays, 2), (tenants[2], 2), (tenants[3], 1)].into());
}

#[test]
fn a_packet_that_passes_is_counted_and_its_flow_swept_when_it_expired() {
    let node = TestNode::new("passes");
    let mut datapath = node.open(Attachment::Auto);
    node.bind(&mut datapath.maps);
    assert_eq!(send(&node, &mut datapath, POD), TC_ACT_UNSPEC);
    assert_eq!(datapath.maps.forwarded(Direction::Egress).expect("counter").packets, 1);
    assert_eq!(datapath.maps.forwarded(Direction::Ingress).expect("counter").packets, 0);
    assert!(datapath.maps.drops().expect("drops").is_empty());

    let now = agent::kernel::now_ticks().expect("clock");
    assert_eq!(datapath.maps.sweep_flows(now).expect("sweep"), 0, "it has just begun");
    let next_day = now + 24 * 3600 * common::abi::SECOND;
    assert_eq!(datapath.maps.sweep_flows(next_day).expect("sweep"), 1);
    assert_eq!(datapath.maps.sweep_flows(next_day).expect("sweep"), 0);
}

#[test]
fn what_left_a_full_table_is_counted_and_what_was_swept_is_not() {
    let node = TestNode::new("evicts");
    let mut datapath = node.inside(|| {
        let capacities = MapCapacities { flows: Some(1024), ..MapCapacities::default() };
        Datapath::open(&node.pins, &Options { capacities, ..Options::default() }).expect("open the datapath")
    });
    node.bind(&mut datapath.maps);
    let lost = |datapath: &Datapath| {
        let usage = datapath.maps.usage().expect("usage");
        let flow = usage.iter().find(|usage| usage.map == "FLOW").expect("the table of flows");
        (datapath.maps.counter(Counter::FlowsEvicted).expect("counters"), flow.entries)
    };
    let open = |datapath: &mut Datapath, flows: u16| {
        for flow in 0..flows {
            let [high, low] = flow.to_be_bytes();
            assert_eq!(send_to(&node, datapath, POD, [192, 0, high, low]), TC_ACT_UNSPEC);
        }
    };
    open(&mut datapath, 100);
    assert_eq!(lost(&datapath), (0, 100));
    open(&mut datapath, 5000);
    let (evicted, kept) = lost(&datapath);
    assert_eq!((evicted, kept), (5000 - 512, 512), "as many as the ring has places");

    let next_day = agent::kernel::now_ticks().expect("clock") + 24 * 3600 * common::abi::SECOND;
    assert_eq!(datapath.maps.sweep_flows(next_day).expect("sweep"), kept);
    assert_eq!(lost(&datapath), (evicted, 0), "what expired is not evicted");
}

#[test]
fn usage_counts_entries_and_knows_the_capacity() {
    let node = TestNode::new("usage");
    let mut datapath = node.open(Attachment::Auto);
    node.bind(&mut datapath.maps);
    assert_eq!(send(&node, &mut datapath, POD), TC_ACT_UNSPEC);
    let usage = datapath.maps.usage().expect("usage");
    let flow = usage.iter().find(|usage| usage.map == "FLOW").expect("the table of flows");
    assert_eq!((flow.entries, flow.capacity), (1, 524_288));
    let drops = usage.iter().find(|usage| usage.map == "DROPS").expect("the counters");
    assert_eq!(drops.entries, DropReason::ALL.len() * 4, "the overflow rows");
}
