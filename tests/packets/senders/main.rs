//! What a pod may send and get (DESIGN.md §3.2, §3.3): each packet with its reason, in the kernel and on the host.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod addresses;
mod neighbours;
mod unknown;

use std::net::{IpAddr, Ipv6Addr};

use tests::inside::RED_AND_BLUE;
use tests::scene::Scene;
use tests::twin::Twin;

/// Two pods of two tenants.
fn scene(test: impl FnOnce(&mut Scene<'_>) + Send) {
    Twin::with("senders", |twin| test(&mut Scene::new(twin, RED_AND_BLUE)));
}

fn outside(family: usize) -> IpAddr {
    ["203.0.113.9", "2001:db8::9"][family].parse().unwrap()
}

fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
