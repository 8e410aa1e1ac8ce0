//! Pods and addresses that nobody knows, and veths that are not ready.

use common::abi::AllowReason::{Established, NoPolicy, OwnNode};
use common::abi::Direction;
use common::abi::DropReason::{NotReady, SpoofedSource, UnknownEndpoint};
use policy::model::UnknownEndpoints;
use tests::frames::{Ends, SYN};
use tests::host::HostFrame;
use tests::scene::{NODE, allowed, dropped};

use crate::{outside, scene};

#[test]
fn an_address_in_the_pod_range_that_no_pod_owns_is_foreign_to_every_tenant() {
    scene(|scene| {
        for (family, unknown) in [(0, "10.244.77.7"), (1, "fd00:10:244::77")] {
            let ends = Ends { source: unknown.parse().unwrap(), ..scene.between(0, 1, family) };
            assert_eq!(scene.deliver(1, 1, ends.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
        }
    });
}

#[test]
fn an_interface_without_an_endpoint_is_not_ready() {
    scene(|scene| {
        let frame = HostFrame::new(scene.between(0, 1, 0).udp(1, 2), 1, 1);
        assert_eq!(scene.twin.run(Direction::Egress, &frame).outcome.verdict, dropped(NotReady));
    });
}

#[test]
fn a_veth_whose_pod_is_not_known_yet_speaks_with_its_own_node_alone() {
    scene(|scene| {
        scene.forget_pod(0);
        for family in [0, 1] {
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, dropped(NotReady));
            let abroad = scene.to(0, outside(family));
            assert_eq!(scene.send(0, abroad.tcp(1, 80, SYN)).outcome.verdict, dropped(NotReady));
            let from = scene.pods[1].ifindex;
            assert_eq!(scene.deliver(0, from, there.back().udp(3, 4)).outcome.verdict, dropped(NotReady));
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(1, 2)).outcome.verdict, allowed(OwnNode));
            assert_eq!(scene.deliver(0, 0, home.back().udp(5, 6)).outcome.verdict, allowed(OwnNode));
        }
    });
}

#[test]
fn a_held_veth_speaks_with_nobody_but_in_the_flows_that_it_has() {
    scene(|scene| {
        for family in [0, 1] {
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(1, 2)).outcome.verdict, allowed(OwnNode));
        }
        scene.twin.hold(0);
        for family in [0, 1] {
            let home = scene.to(0, NODE[family]);
            assert_eq!(scene.send(0, home.udp(3, 4)).outcome.verdict, dropped(NotReady));
            assert_eq!(scene.deliver(0, 0, home.back().udp(5, 6)).outcome.verdict, dropped(NotReady));
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, dropped(NotReady));
            assert_eq!(scene.deliver(0, 0, home.back().udp(2, 1)).outcome.verdict, allowed(Established));
        }
    });
}

#[test]
fn where_unknown_pods_are_allowed_they_still_borrow_no_address_and_no_tenant() {
    scene(|scene| {
        scene.config.unknown_endpoints = UnknownEndpoints::Allow;
        scene.forget_pod(0);
        for family in [0, 1] {
            let there = scene.between(0, 1, family);
            assert_eq!(scene.send(0, there.udp(1, 2)).outcome.verdict, allowed(NoPolicy));
            let from = scene.pods[0].ifindex;
            assert_eq!(scene.deliver(1, from, there.udp(1, 2)).outcome.verdict, dropped(UnknownEndpoint));
            let stolen = Ends { source: outside(family), ..there };
            assert_eq!(scene.send(0, stolen.udp(1, 2)).outcome.verdict, dropped(SpoofedSource));
        }
    });
}
