//! Addresses of pods that a Service claims: what the node sends elsewhere must be allowed where it goes (docs/threat-model.md, 46).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use common::abi::AllowReason::{NetworkPolicy, SamePod};
use common::abi::DropReason::{ClusterPolicy, DefaultDeny, ServiceUndecided};
use tests::frames::SYN;
use tests::scene::{Scene, allowed, dropped};
use tests::twin::Twin;

/// Pods of `x` may call each other and nobody else. The server's address is claimed: at port 80 it leads outside, at 81 to
/// the client, at 82 to both.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x}, spec: {containers: [{name: c, image: i}]},
 status: {podIPs: [{ip: 10.244.0.40}, {ip: 'fd00:10:244::40'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x}, spec: {containers: [{name: c, image: i}]},
 status: {podIPs: [{ip: 10.244.0.50}, {ip: 'fd00:10:244::50'}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: own, namespace: x},
 spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: claim, namespace: x},
 spec: {clusterIP: 10.96.0.7, externalIPs: [10.244.0.50],
  ports: [{name: out, port: 80}, {name: in, port: 81}, {name: both, port: 82}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {name: out, namespace: x, labels: {kubernetes.io/service-name: claim}},
 ports: [{name: out, port: 9090}, {name: both, port: 9090}], endpoints: [{addresses: [203.0.113.9]}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {name: in, namespace: x, labels: {kubernetes.io/service-name: claim}},
 ports: [{name: in, port: 8080}, {name: both, port: 8080}], endpoints: [{addresses: [10.244.0.40]}]}
";
const DENY: &str = "
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: deny},
 spec: {tier: Admin, priority: 1, subject: {namespaces: {}},
  egress: [{action: Deny, to: [{networks: [203.0.113.0/24]}]}]}}
";
const CLIENT: usize = 0;
const SERVER: usize = 1;
const FROM: u16 = 50_000;

fn scene(test: impl FnOnce(&mut Scene<'_>) + Send) {
    Twin::with("claimed", |twin| test(&mut Scene::new(twin, WORLD)));
}

#[test]
fn a_claimed_address_is_the_pod_s_and_what_the_claim_leads_to() {
    scene(|scene| {
        let ends = scene.between(CLIENT, SERVER, 0);
        for (port, verdict) in [
            (79, allowed(NetworkPolicy)),
            (80, dropped(DefaultDeny)),
            (81, allowed(SamePod)),
            (82, dropped(ServiceUndecided)),
        ] {
            assert_eq!(scene.send(CLIENT, ends.tcp(FROM, port, SYN)).outcome.verdict, verdict, "port {port}");
        }
        let ends = scene.between(CLIENT, SERVER, 1);
        let sent = scene.send(CLIENT, ends.tcp(FROM, 80, SYN)).outcome.verdict;
        assert_eq!(sent, allowed(NetworkPolicy), "a claim of the other family");
        scene.change(&[WORLD, DENY].concat());
        let ends = scene.between(CLIENT, SERVER, 0);
        assert_eq!(scene.send(CLIENT, ends.tcp(FROM, 80, SYN)).outcome.verdict, dropped(ClusterPolicy));
    });
}

/// With a raw socket: the node's rules know no pod's address from another.
#[test]
fn a_pod_that_sends_to_its_own_claimed_address_leaves_by_it() {
    scene(|scene| {
        let ends = scene.to(SERVER, scene.pods[SERVER].addresses[0]);
        for (port, verdict) in [
            (79, allowed(SamePod)),
            (80, dropped(DefaultDeny)),
            (81, allowed(NetworkPolicy)),
            (82, dropped(ServiceUndecided)),
        ] {
            assert_eq!(scene.send(SERVER, ends.tcp(FROM, port, SYN)).outcome.verdict, verdict, "port {port}");
        }
    });
}
