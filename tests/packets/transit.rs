//! Calls that a node rewrites for two pods of other nodes, as of its NodePort: the receiver will see this node as the one
//! who calls (docs/threat-model.md, 09).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use common::abi::{Address, AllowReason, Direction, DropReason};
use common::decide::{Connection, Outcome, Passage, Verdict, judge_receiver, judge_sender, settle_after_dnat};
use policy::compile::{Compiled, Ids, Input, NodeView, compile};
use policy::model::Config;
use tests::host::HostNode;
use tests::yaml::world;

/// All pods are on other nodes. Any pod may call `blue/open`; the others are held apart by tenancy alone.
const WORLD: &str = "
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: red}}
---
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: blue}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: red, labels: {capsule.clastix.io/tenant: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {capsule.clastix.io/tenant: blue}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: caller, namespace: red}, spec: {nodeName: one, containers: []},
 status: {podIPs: [{ip: 10.244.1.5}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: own, namespace: red}, spec: {nodeName: one, containers: []},
 status: {podIPs: [{ip: 10.244.1.6}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: closed, namespace: blue}, spec: {nodeName: one, containers: []},
 status: {podIPs: [{ip: 10.244.1.7}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: open, namespace: blue, labels: {app: open}},
 spec: {nodeName: one, containers: []}, status: {podIPs: [{ip: 10.244.1.8}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: open, namespace: blue},
 spec: {podSelector: {matchLabels: {app: open}}, ingress: [{from: [{namespaceSelector: {}}]}]}}
";
const NODE: [u8; 4] = [10, 89, 0, 12];
const CALLER: [u8; 4] = [10, 244, 1, 5];
const OUTSIDE: [u8; 4] = [192, 0, 2, 7];

const fn word(ip: [u8; 4]) -> [u32; 4] {
    [u32::from_ne_bytes(ip), 0, 0, 0]
}

/// A call of the node's port 30109 that is led to a pod and shows the node there, or the caller.
fn call(from: [u8; 4], to: u8, shown: [u8; 4]) -> Connection {
    let mut led = Connection::untracked(true, 6, [word(from), word(NODE)], [40_000_u16.to_be(), 30_109_u16.to_be()]);
    let answers =
        Connection::untracked(true, 6, [word(shown), word([10, 244, 1, to])], [40_000_u16.to_be(), 8080_u16.to_be()]);
    // From the reply's tuple on.
    led.words[14..24].copy_from_slice(&answers.words[14..24]);
    assert_eq!((led.answering(), led.shown()), (Address::v4([10, 244, 1, to]), Address::v4(shown)));
    led
}

fn node() -> HostNode {
    let pod_cidrs = vec!["10.244.0.0/16".parse().expect("a network")];
    let (world, config) = (world(WORLD), Config { pod_cidrs, ..Config::default() });
    let view = NodeView { name: "two".to_owned(), addresses: [NODE.into()].into(), ..NodeView::default() };
    let input = Input { world: &world, config: &config, node: &view };
    let compiled: Compiled = compile(&input, &Ids::default(), None).expect("the world compiles");
    HostNode::new(compiled.desired.tables)
}

fn judge(node: &HostNode, connection: &Connection, is_answer: bool) -> Outcome {
    let packet = Passage { is_local: false, ingress_ifindex: 2, is_answer, is_error: false, is_undecided: false };
    let mut outcome = Outcome::of(Direction::Egress, 0);
    if judge_sender(node, connection, &packet, &mut outcome) {
        judge_receiver(node, connection, &packet, 1, &mut outcome);
    }
    settle_after_dnat(node, connection, &packet, 1, &mut outcome);
    outcome
}

#[test]
fn a_node_that_hides_who_calls_holds_tenants_of_other_nodes_apart() {
    let node = node();
    let passes = Verdict::Allow(AllowReason::Unmanaged);
    let [refused, unknown] = [DropReason::TenantIsolation, DropReason::UnknownEndpoint].map(Verdict::Drop);
    for (what, connection, verdict) in [
        ("the own tenant's pod", call(CALLER, 6, NODE), passes),
        ("another tenant's pod", call(CALLER, 7, NODE), refused),
        ("another tenant's pod, which sees who calls", call(CALLER, 7, CALLER), passes),
        ("another tenant's pod that lets others in", call(CALLER, 8, NODE), passes),
        ("a pod, from outside", call(OUTSIDE, 7, NODE), passes),
        ("a pod, from one that nobody knows", call([10, 244, 1, 99], 7, NODE), unknown),
    ] {
        for is_answer in [false, true] {
            let outcome = judge(&node, &connection, is_answer);
            assert_eq!(outcome.verdict, verdict, "{what}, {is_answer}");
            let of_receiver = outcome.direction == Direction::Ingress;
            assert_eq!(of_receiver, matches!(verdict, Verdict::Drop(_)), "{what}");
        }
    }
}
