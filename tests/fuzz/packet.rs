//! Arbitrary frames, one after the other, through arbitrary tables: nothing panics, and what leaves a pod that routes for
//! nobody carries the pod's own addresses.
//!
//! The input: a byte for the tables, then for each frame a byte for its place, one for its length, and its bytes.
#![no_main]

#[path = "../src/host.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod host;
#[path = "../src/random.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod random;
#[path = "../packets/random/world.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod world;

use std::net::IpAddr;

use common::abi::{Direction, Endpoint};
use common::decide::{Seen, Verdict};
use host::{HostFrame, HostNode};
use libfuzzer_sys::fuzz_target;
use random::Random;

const VETHS: [u32; 2] = [7, 8];

fuzz_target!(|data: &[u8]| {
    let Some((&seed, mut rest)) = data.split_first() else { return };
    let mut random = Random(u64::from(seed));
    let world = world::random(&mut random, VETHS);
    let mut node = HostNode::new(world.tables);
    while let [place, length, after @ ..] = rest {
        let (frame, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        let direction = Direction::ALL[usize::from(place & 1)];
        let ifindex = [VETHS[0], VETHS[1], 9, VETHS[0]][usize::from(place >> 1 & 3)];
        let ingress = [0, VETHS[0], VETHS[1], 1][usize::from(place >> 3 & 3)];
        if place >> 5 == 7 {
            change(&mut node, &mut random);
        }
        let frame = HostFrame::new(frame.to_vec(), ifindex, ingress);
        let seen = node.run(direction, &frame);
        if direction == Direction::Egress && matches!(seen.outcome.verdict, Verdict::Allow(_)) {
            sender_is_own(&node, ifindex, &frame.bytes, &seen);
        }
    }
});

/// Another profile for an endpoint: every flow is judged again.
fn change(node: &mut HostNode, random: &mut Random) {
    let profile = u64::from(random.below(world::PROFILES + 1));
    node.tables.endpoints.get_mut(&random.below(2)).expect("two endpoints").profile = profile;
    node.epoch += 1;
    node.now += random.below(1 << 12);
}

/// Read from the bytes alone: the MAC address and, of IPv4 and IPv6, the source.
fn sender_is_own(node: &HostNode, ifindex: u32, bytes: &[u8], seen: &Seen) {
    let endpoint = node.tables.endpoints.values().find(|it| it.ifindex == ifindex).expect("only endpoints send");
    assert_eq!(bytes[6..12], endpoint.mac.octets(), "sent under another MAC address");
    if endpoint.is(Endpoint::ROUTER) {
        return;
    }
    let source: Option<IpAddr> = match (bytes[12], bytes[13]) {
        (0x08, 0x00) => Some(<[u8; 4]>::try_from(&bytes[26..30]).expect("four bytes").into()),
        (0x86, 0xdd) => Some(<[u8; 16]>::try_from(&bytes[22..38]).expect("sixteen bytes").into()),
        _ => None,
    };
    let own = source.is_none_or(|source| match source {
        IpAddr::V4(v4) => v4.octets() == endpoint.v4,
        // Neighbour discovery also asks before there is an address.
        IpAddr::V6(v6) => {
            v6.octets() == endpoint.v6 || v6.is_unspecified() || v6.octets() == endpoint.link_local().octets()
        }
    });
    assert!(own, "{source:?} left the pod with {:?}: {seen:?}", endpoint.v4);
}
