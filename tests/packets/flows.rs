//! Connection tracking (DESIGN.md §3.4 to §3.6), packet by packet, in the kernel and on the host at once.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use common::abi::AllowReason::{self, Established, NetworkPolicy, NoPolicy, OwnNode, SamePod};
use common::abi::DropReason::{DefaultDeny, Fragment, Revoked, SpoofedSource, UnknownEndpoint};
use common::decide::Verdict;
use tests::frames::{self, ACK, Ends, FIN, Ipv4, RST, SYN, TCP, UDP};
use tests::scene::{NODE, Scene, allowed, dropped};
use tests::twin::Twin;

/// `x/client` and `x/server`, which listens on 80 and 7777.
const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x, labels: {app: client}}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x, labels: {app: server}}, spec: {containers: [{name: c, image: i}]}}
---
";
const SERVER_ADMITS_80: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server-in, namespace: x}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 80}, {port: 80, protocol: UDP}, {port: 80, protocol: SCTP}]
---
";
const SERVER_ADMITS_NOTHING: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server-in, namespace: x}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}
---
";
const SERVER_SENDS_NOTHING: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server-out, namespace: x}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Egress]}
---
";
const CLIENT: usize = 0;
const SERVER: usize = 1;
const PORT: u16 = 40000;
/// Seconds of an adoption window: enough to enforce a world on a busy machine.
const WINDOW: u32 = 6;

fn scene(policies: &[&str], test: impl Fn(&mut Scene<'_>, usize) + Sync) {
    Twin::with("flows", |twin| {
        for family in [0, 1] {
            twin.forget();
            let mut scene = Scene::new(twin, &with(policies));
            test(&mut scene, family);
        }
    });
}

fn with(policies: &[&str]) -> String {
    [&[PODS], policies].concat().concat()
}

/// A connection from the client to port 80 of the server, as far as the handshake.
fn connect(scene: &mut Scene<'_>, family: usize) -> (Ends, Ends) {
    let there = scene.between(CLIENT, SERVER, family);
    let back = there.back();
    assert!(matches!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, SYN)), Verdict::Allow(_)));
    assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, SYN | ACK)), allowed(Established));
    assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(Established));
    (there, back)
}

#[test]
fn replies_pass_though_the_server_may_send_nothing() {
    scene(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING], |scene, family| {
        connect(scene, family);
        let there = scene.between(CLIENT, SERVER, family);
        assert_eq!(scene.pass(CLIENT, SERVER, there.udp(PORT, 80)), allowed(NetworkPolicy));
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().udp(80, PORT)), allowed(Established));
        assert_eq!(scene.pass(CLIENT, SERVER, there.sctp(PORT, 80, 1)), allowed(NetworkPolicy));
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().sctp(80, PORT, 2)), allowed(Established));
    });
}

#[test]
fn a_denied_server_cannot_open_a_connection_from_its_port() {
    scene(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING], |scene, family| {
        let (_, back) = connect(scene, family);
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, SYN)), dropped(DefaultDeny), "the same tuple");
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, 50000, SYN)), dropped(DefaultDeny));
        assert_eq!(scene.pass(SERVER, CLIENT, back.sctp(80, PORT, 1)), dropped(DefaultDeny));
        assert_eq!(scene.pass(SERVER, CLIENT, back.echo(true, 1)), dropped(DefaultDeny));
    });
}

#[test]
fn crafted_acks_open_nothing() {
    scene(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING], |scene, family| {
        let there = scene.between(CLIENT, SERVER, family);
        // From a served port, to a port that may have opened it: nobody did, and the server may send nothing.
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().tcp(80, PORT, ACK)), dropped(DefaultDeny));
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().tcp(80, PORT, SYN | ACK)), dropped(DefaultDeny));
        // An ACK scan of a port that is not served.
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 22, ACK)), dropped(DefaultDeny));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 22, RST)), dropped(DefaultDeny));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(22, 22, ACK)), dropped(DefaultDeny), "ports that do not tell");
    });
}

#[test]
fn a_senders_allow_never_opens_the_receiver() {
    scene(&[SERVER_ADMITS_NOTHING], |scene, family| {
        let there = scene.between(CLIENT, SERVER, family);
        for frame in [there.tcp(PORT, 80, SYN), there.udp(PORT, 80), there.echo(true, 7)] {
            assert_eq!(scene.send(CLIENT, frame.clone()).outcome.verdict, allowed(NoPolicy));
            assert_eq!(scene.deliver(SERVER, scene.pods[CLIENT].ifindex, frame).outcome.verdict, dropped(DefaultDeny));
        }
    });
}

#[test]
fn a_revoked_rule_cuts_the_flow_at_its_next_packet_whoever_talks() {
    for server_talks in [false, true] {
        scene(&[SERVER_ADMITS_80], |scene, family| {
            let (there, back) = connect(scene, family);
            scene.change(&with(&[SERVER_ADMITS_NOTHING]));
            if server_talks {
                let sent = scene.send(SERVER, back.tcp(80, PORT, ACK));
                assert_eq!(sent.outcome.verdict, dropped(Revoked));
                assert!(sent.outcome.cut, "the first packet counts the flow");
            }
            let sent = there.tcp(PORT, 80, ACK);
            let came_from = scene.pods[CLIENT].ifindex;
            assert_eq!(
                scene.send(CLIENT, sent.clone()).outcome.verdict,
                allowed(Established),
                "the sender's side holds"
            );
            let got = scene.deliver(SERVER, came_from, sent);
            assert_eq!(got.outcome.verdict, dropped(Revoked));
            assert_eq!(got.outcome.cut, !server_talks, "counted once");
            assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, SYN)), dropped(DefaultDeny));
        });
    }
}

#[test]
fn a_permitted_flow_beside_a_cut_one_goes_on() {
    scene(&[], |scene, family| {
        let (there, _) = connect(scene, family);
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT + 1, 22, SYN)), allowed(NoPolicy));
        scene.change(&with(&[SERVER_ADMITS_80]));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(Established));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT + 1, 22, ACK)), dropped(Revoked));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(Established));
    });
}

#[test]
fn a_cut_flow_comes_back_when_policy_allows_again() {
    scene(&[SERVER_ADMITS_80], |scene, family| {
        let (there, back) = connect(scene, family);
        scene.change(&with(&[SERVER_ADMITS_NOTHING]));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), dropped(Revoked));
        scene.change(&with(&[SERVER_ADMITS_80]));
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, ACK)), allowed(Established));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(Established));
    });
}

#[test]
fn a_flow_from_before_any_policy_is_cut_by_the_first_one() {
    scene(&[], |scene, family| {
        let (_, back) = connect(scene, family);
        scene.change(&with(&[SERVER_SENDS_NOTHING]));
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, ACK)), allowed(Established), "the client opened it");
        scene.change(&with(&[SERVER_ADMITS_NOTHING]));
        assert_eq!(scene.send(SERVER, back.tcp(80, PORT, ACK)).outcome.verdict, dropped(Revoked));
    });
}

#[test]
fn without_its_entry_a_permitted_flow_goes_on_from_its_opener() {
    scene(&[SERVER_ADMITS_80], |scene, family| {
        let (there, back) = connect(scene, family);
        scene.twin.forget();
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, ACK)), allowed(AllowReason::NoPolicy));
        scene.twin.forget();
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(NetworkPolicy));
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, ACK)), allowed(Established));
    });
}

#[test]
fn the_adoption_window_asks_only_the_opener() {
    scene(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING], |scene, family| {
        let (_, back) = connect(scene, family);
        scene.twin.forget();
        let reply = back.tcp(80, PORT, ACK);
        assert_eq!(scene.send(SERVER, reply.clone()).outcome.verdict, dropped(DefaultDeny), "the window is closed");
        scene.rebind(WINDOW);
        assert!(matches!(scene.send(SERVER, reply.clone()).outcome.verdict, Verdict::Allow(_)));
        assert_eq!(scene.send(SERVER, reply.clone()).outcome.verdict, allowed(Established));
        assert_eq!(scene.send(SERVER, back.tcp(22, PORT, ACK)).outcome.verdict, dropped(DefaultDeny), "not served");
        scene.end_adoption();
        let after = scene.send(SERVER, reply).outcome;
        assert_eq!((after.verdict, after.cut), (dropped(Revoked), true), "egress never allowed it");
    });
}

#[test]
fn an_adopted_flow_that_both_directions_allow_outlives_the_window() {
    scene(&[SERVER_ADMITS_80], |scene, family| {
        let (there, back) = connect(scene, family);
        scene.twin.forget();
        scene.rebind(WINDOW);
        assert!(matches!(scene.send(SERVER, back.tcp(80, PORT, ACK)).outcome.verdict, Verdict::Allow(_)));
        scene.end_adoption();
        assert_eq!(scene.send(SERVER, back.tcp(80, PORT, ACK)).outcome.verdict, allowed(Established));
        // It is like any other flow from then on.
        scene.change(&with(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING]));
        assert_eq!(scene.send(SERVER, back.tcp(80, PORT, ACK)).outcome.verdict, allowed(Established));
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, ACK)), allowed(Established));
    });
}

#[test]
fn an_icmp_error_of_a_live_flow_passes_and_a_forged_one_does_not() {
    let client_deaf = SERVER_ADMITS_NOTHING.replace("server", "client");
    scene(&[&client_deaf], |scene, family| {
        let there = scene.between(CLIENT, SERVER, family);
        let sent = there.udp(PORT, 53);
        assert_eq!(scene.pass(CLIENT, SERVER, sent.clone()), allowed(NoPolicy));
        let kind = if family == 0 { 3 } else { 1 };
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().error(kind, &sent)), allowed(Established));
        let forged = there.back().error(kind, &there.udp(PORT, 5353));
        assert_eq!(scene.pass(SERVER, CLIENT, forged), dropped(DefaultDeny));
        let redirect = there.back().error(if family == 0 { 5 } else { 200 }, &sent);
        let came_from = scene.pods[SERVER].ifindex;
        assert_eq!(scene.deliver(CLIENT, came_from, redirect).outcome.verdict, dropped(DefaultDeny));
        // From a router on the way, whose address nobody knows.
        let router = if family == 0 { "203.0.113.1" } else { "2001:db8::1" };
        let way = Ends { source: router.parse().unwrap(), ..there.back() };
        assert_eq!(scene.deliver(CLIENT, 1, way.error(kind, &sent)).outcome.verdict, allowed(Established));
    });
}

#[test]
fn a_pod_that_a_packet_was_not_sent_to_says_nothing_about_it() {
    let client_deaf = SERVER_ADMITS_NOTHING.replace("server", "client");
    scene(&[&client_deaf], |scene, family| {
        let kind = if family == 0 { 3 } else { 1 };
        let outside = ["203.0.113.9", "2001:db8::9"][family].parse().unwrap();
        let sent = scene.to(CLIENT, outside).udp(PORT, 53);
        assert_eq!(scene.send(CLIENT, sent.clone()).outcome.verdict, allowed(NoPolicy));
        let from = |source| Ends { source, ..scene.between(SERVER, CLIENT, family) };
        let errors =
            [scene.pods[SERVER].addresses[family], ["10.244.77.7", "fd00:10:244::77"][family].parse().unwrap()]
                .map(|source| from(source).error(kind, &sent));
        let [router, end] = [["203.0.113.1", "2001:db8::1"][family].parse().unwrap(), outside]
            .map(|source| from(source).error(kind, &sent));
        let server = scene.pods[SERVER].ifindex;
        for (error, came_from, reason) in
            [(&errors[0], server, DefaultDeny), (&errors[0], 0, DefaultDeny), (&errors[1], 1, UnknownEndpoint)]
        {
            assert_eq!(scene.deliver(CLIENT, came_from, error.clone()).outcome.verdict, dropped(reason));
        }
        assert_eq!(scene.send(SERVER, errors[0].clone()).outcome.verdict, dropped(SpoofedSource));
        for error in [router, end] {
            assert_eq!(scene.deliver(CLIENT, 1, error).outcome.verdict, allowed(Established));
        }
    });
}

#[test]
fn an_echo_reply_needs_a_request_and_a_request_is_no_reply() {
    let client_deaf = SERVER_ADMITS_NOTHING.replace("server", "client");
    scene(&[&client_deaf], |scene, family| {
        let there = scene.between(CLIENT, SERVER, family);
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().echo(false, 5)), dropped(DefaultDeny));
        assert_eq!(scene.pass(CLIENT, SERVER, there.echo(true, 5)), allowed(NoPolicy));
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().echo(false, 5)), allowed(Established));
        assert_eq!(scene.pass(SERVER, CLIENT, there.back().echo(true, 5)), dropped(DefaultDeny));
    });
}

#[test]
fn later_fragments_follow_their_first() {
    scene(&[SERVER_ADMITS_80], |scene, family| {
        let there = scene.between(CLIENT, SERVER, family);
        let fragment = |port: u16, first: bool, id: u16| {
            let datagram = frames::udp(PORT, port, &[0; 40]);
            let (part, offset) = if first { (&datagram[..24], 0) } else { (&datagram[24..], 3) };
            if let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) = (there.source, there.destination)
            {
                let header = Ipv4 {
                    protocol: UDP,
                    id,
                    more_fragments: first,
                    fragment_offset: offset,
                    ..Ipv4::new(source, destination)
                };
                return there.ethernet(0x0800, &frames::ipv4(&header, part));
            }
            there.ip(44, &frames::fragment_header(UDP, offset, first, id.into(), part))
        };
        assert_eq!(scene.pass(CLIENT, SERVER, fragment(80, false, 9)), dropped(Fragment), "out of order");
        assert_eq!(scene.pass(CLIENT, SERVER, fragment(80, true, 9)), allowed(NetworkPolicy));
        assert_eq!(scene.pass(CLIENT, SERVER, fragment(80, false, 9)), allowed(Established));
        assert_eq!(scene.pass(CLIENT, SERVER, fragment(81, true, 10)), dropped(DefaultDeny));
        assert_eq!(scene.pass(CLIENT, SERVER, fragment(81, false, 10)), dropped(Fragment), "its first was dropped");
    });
}

#[test]
fn the_own_node_reaches_a_pod_that_admits_nobody() {
    scene(&[SERVER_ADMITS_NOTHING, SERVER_SENDS_NOTHING], |scene, family| {
        let probe = scene.to(SERVER, NODE[family]).back();
        let probe = Ends { destination_mac: scene.pods[SERVER].mac, ..probe };
        let reply = scene.to(SERVER, NODE[family]);
        assert_eq!(scene.deliver(SERVER, 0, probe.tcp(PORT, 8080, SYN)).outcome.verdict, allowed(OwnNode));
        assert_eq!(scene.send(SERVER, reply.tcp(8080, PORT, SYN | ACK)).outcome.verdict, allowed(Established));
        // The node's address, but not from the node.
        assert_eq!(scene.deliver(SERVER, 1, probe.tcp(PORT + 1, 8080, SYN)).outcome.verdict, dropped(DefaultDeny));
        assert_eq!(scene.send(SERVER, reply.udp(5000, 53)).outcome.verdict, allowed(OwnNode));
        // A change of policy judges the probe's connection again: it is still the node's.
        scene.change(&with(&[SERVER_ADMITS_80, SERVER_SENDS_NOTHING]));
        assert_eq!(scene.send(SERVER, reply.tcp(8080, PORT, ACK)).outcome.verdict, allowed(Established));
    });
}

#[test]
fn a_pod_reaches_itself() {
    scene(&[SERVER_ADMITS_NOTHING, SERVER_SENDS_NOTHING], |scene, family| {
        let itself = scene.between(SERVER, SERVER, family);
        assert_eq!(scene.pass(SERVER, SERVER, itself.tcp(PORT, 80, SYN)), allowed(SamePod));
    });
}

#[test]
fn a_finished_connection_is_forgotten_soon() {
    scene(&[SERVER_ADMITS_80], |scene, family| {
        let (there, back) = connect(scene, family);
        assert_eq!(scene.pass(CLIENT, SERVER, there.tcp(PORT, 80, FIN | ACK)), allowed(Established));
        assert_eq!(scene.pass(SERVER, CLIENT, back.tcp(80, PORT, FIN | ACK)), allowed(Established));
        assert!(scene.twin.flows().all(|(key, state)| key.protocol() != TCP || state.expires() < scene_end(120)));
    });
}

/// The tick in so many seconds, and a few more for a busy machine.
fn scene_end(seconds: u32) -> u32 {
    agent::kernel::now_ticks().expect("the clock") + (seconds + 2) * common::abi::SECOND
}
