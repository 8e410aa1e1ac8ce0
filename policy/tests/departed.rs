//! What a Service was until a moment ago still counts: kube-proxy follows a change later than the agent.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, DropReason};
use common::decide::Verdict;
use policy::model::{HELD, NetworkPolicy, Service, SliceEndpoint};
use world::{Scene, block, ip, own_pods, policy, rule, selector, service, tcp, to_tcp};

const UNDECIDED: Verdict = Verdict::Drop(DropReason::ServiceUndecided);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const WEB: &str = "10.244.0.2";
/// The caller may call it.
const OPEN: &str = "198.51.100.7";
/// It may not.
const SHUT: &str = "203.0.113.7";

/// The caller may call its own namespace's pods and a network outside.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("evil", "black");
    scene.pod("evil/caller", "app=caller", &["10.244.0.1"]);
    scene.pod("evil/web", "app=web", &[WEB]);
    let rule = rule(&[own_pods("app"), block("198.51.100.0/24", &[])], &[tcp(80), tcp(8080)]);
    let egress = NetworkPolicy { egress: Some(vec![rule]), ..policy("evil", "egress") };
    scene.policy(NetworkPolicy { subject: selector("app=caller"), ..egress });
    scene
}

fn called(scene: &Scene, address: &str, port: u16) -> Verdict {
    scene.call(&scene.compile(), "evil/caller", address, to_tcp(port))
}

/// Follows a change of Services and slices at a moment.
fn follow(before: &Scene, after: &mut Scene, now: u64) {
    let departed = &mut after.world.departed;
    departed.clone_from(&before.world.departed);
    departed.forget(now);
    for (key, slice) in &before.world.endpoint_slices {
        departed.leave_slice(slice, after.world.endpoint_slices.get(key), now);
    }
    for (key, service) in &before.world.services {
        departed.leave_service(service, after.world.services.get(key), now);
    }
}

#[test]
fn an_end_that_went_away_counts_for_as_long_as_a_node_may_not_know() {
    let mut before = scene();
    before.service(service("evil", "s", "10.96.0.20"), &[SHUT]);
    assert_eq!(called(&before, "10.96.0.20", 80), DENIED);
    let mut after = before.clone();
    after.slice("evil", "s").endpoints[0].address = ip(WEB);
    follow(&before, &mut after, 1000);
    assert_eq!(called(&after, "10.96.0.20", 80), UNDECIDED, "kube-proxy may still send it outside");
    assert_eq!(after.world.departed.until(), Some(1000 + HELD));
    let mut later = after.clone();
    follow(&after, &mut later, 1000 + HELD);
    assert_eq!(called(&later, "10.96.0.20", 80), ALLOWED);
    assert_eq!(later.world.departed.until(), None);
    // Readiness alone moves nothing, and neither does an end that comes.
    let mut grown = later.clone();
    grown.slice("evil", "s").endpoints[0].ready = false;
    grown.slice("evil", "s").endpoints.push(SliceEndpoint { address: ip("10.244.0.1"), ready: true });
    follow(&later, &mut grown, 30_000);
    assert_eq!(grown.world.departed.until(), None);
}

#[test]
fn a_claim_that_went_away_counts_as_long() {
    let mut own = Service { external_ips: vec![ip(OPEN), ip(WEB)], ..service("evil", "s", "10.96.0.20") };
    own.ports[0].node_port = Some(30080);
    let mut before = scene();
    before.service(own.clone(), &[SHUT]);
    let [node, cluster_ip] = ["192.0.2.1", "10.96.0.20"];
    let calls = [(OPEN, 80), (WEB, 80), (node, 30080)];
    let plain = Service { external_ips: Vec::new(), ..service("evil", "s", "10.96.0.20") };
    for gone in [false, true] {
        let mut after = before.clone();
        if gone {
            after.world.services.clear();
            after.world.endpoint_slices.clear();
        } else {
            after.world.services.insert(("evil".to_owned(), "s".to_owned()), plain.clone());
        }
        for (address, port) in calls {
            assert_ne!(called(&after, address, port), DENIED, "{address}: nothing would be held");
        }
        follow(&before, &mut after, 1000);
        for (address, port) in calls {
            assert_eq!(called(&after, address, port), DENIED, "{address}: a node still sends it to {SHUT}");
        }
        // What was given back to the API server may be another's at any moment, and is open to nobody by itself.
        assert_eq!(called(&after, cluster_ip, 80), DENIED);
        let mut later = after.clone();
        follow(&after, &mut later, 1000 + HELD);
        for (address, port) in calls {
            assert_ne!(called(&later, address, port), DENIED, "{address}");
        }
    }
}

#[test]
fn a_port_with_another_name_still_leads_where_it_led() {
    let mut before = scene();
    before.service(service("evil", "s", "10.96.0.20"), &[SHUT]);
    let mut after = before.clone();
    let turned = after.world.services.values_mut().next().unwrap();
    turned.ports[0].name = "other".to_owned();
    let slice = after.slice("evil", "s").clone();
    let mut other = policy::model::EndpointSlice { name: "other".to_owned(), ..slice };
    (other.ports[0].name, other.endpoints[0].address) = ("other".to_owned(), ip(WEB));
    after.world.endpoint_slices.insert(("evil".to_owned(), "other".to_owned()), other);
    assert_eq!(called(&after, "10.96.0.20", 80), ALLOWED, "nothing would be held");
    follow(&before, &mut after, 1000);
    assert_eq!(called(&after, "10.96.0.20", 80), UNDECIDED);
}

#[test]
fn what_only_comes_leaves_nothing_behind() {
    let mut before = scene();
    before.service(service("evil", "s", "10.96.0.20"), &[WEB]);
    let mut after = before.clone();
    let grown = after.world.services.values_mut().next().unwrap();
    (grown.external_ips, grown.load_balancer_ips) = (vec![ip(OPEN)], vec![ip("198.51.100.8")]);
    let more = policy::model::ServicePort { name: "more".to_owned(), port: 81, ..grown.ports[0].clone() };
    grown.ports.push(more);
    follow(&before, &mut after, 1000);
    assert_eq!(after.world.departed, policy::model::Departures::default());
}

#[test]
fn a_slice_that_leads_elsewhere_again_and_again_costs_no_more_than_its_service() {
    let mut scene = scene();
    scene.service(service("evil", "s", "10.96.0.20"), &[OPEN]);
    scene.service(service("evil", "other", "10.96.0.21"), &[WEB]);
    for turn in 0..3000u32 {
        let before = scene.clone();
        scene.slice("evil", "s").endpoints[0].address = std::net::Ipv4Addr::from(0xcb00_7100 + turn).into();
        follow(&before, &mut scene, u64::from(turn));
    }
    let slices = || scene.world.departed.slices.values();
    let held: usize = slices().map(|it| it.object.endpoints.len()).sum();
    assert!(held <= 2000 && slices().all(|it| it.object.is_undecided));
    assert_eq!(called(&scene, "10.96.0.20", 80), UNDECIDED);
    assert_eq!(called(&scene, "10.96.0.21", 80), ALLOWED);
}

#[test]
fn who_claims_another_address_again_and_again_opens_nothing_for_a_while() {
    let mut scene = scene();
    scene.owned("x", "red");
    scene.pod("x/client", "", &["10.244.0.3"]);
    scene.service(service("evil", "s", "10.96.0.20"), &[SHUT]);
    for turn in 0..3000u32 {
        let before = scene.clone();
        let claimed = std::net::Ipv4Addr::from(0xc633_6400 + turn).into();
        scene.world.services.values_mut().next().unwrap().external_ips = vec![claimed];
        follow(&before, &mut scene, u64::from(turn));
    }
    let held: usize = scene.world.departed.services.values().map(|it| it.object.external_ips.len()).sum();
    assert!(held <= 2001, "{held}");
    // Nobody knows any more which addresses a node sends elsewhere.
    assert_eq!(called(&scene, OPEN, 80), Verdict::Drop(DropReason::Capacity));
    let other = scene.call(&scene.compile(), "x/client", "198.51.100.1", to_tcp(80));
    assert_eq!(other, Verdict::Allow(AllowReason::NoPolicy), "nobody else waits");
    let told: Vec<_> = scene.compile().excesses.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("its pods open no connection"), "{told:?}");
    let before = scene.clone();
    follow(&before, &mut scene, 3000 + HELD);
    assert_eq!(called(&scene, OPEN, 80), ALLOWED);
}
