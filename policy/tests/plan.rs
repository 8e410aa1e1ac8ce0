//! Plans: what they lead to, their order, and what they refuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{Direction, Endpoint, Peer, PortRow, Ranked};
use common::decide::{Question, Verdict, judge};
use policy::compile::{Kind, compile};
use policy::model::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, NetworkPolicy, Node, Pods, PolicyTier};
use policy::plan::{Capacities, Observed, Op, Plan, PlanError, diff};
use world::{ROOM, Scene, block, ip, net, own_pods, policy, rule, selector, service, tcp, to_tcp};

fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("x", "red");
    scene.pod("x/a", "app=a", &["10.244.0.1"]);
    scene.pod("x/b", "app=b", &["10.244.0.2"]);
    scene.policy(NetworkPolicy {
        ingress: Some(vec![rule(&[own_pods("app=b")], &[tcp(80)])]),
        ..policy("x", "allow-b")
    });
    scene
}

/// What the kernel holds once this scene is in force.
fn in_force(scene: &Scene) -> Observed {
    let mut observed = Observed::default();
    let compiled = scene.compile();
    diff(&observed, &compiled.desired, &ROOM).unwrap().apply_to(&mut observed);
    observed
}

#[test]
fn a_plan_leads_to_what_is_desired_and_then_there_is_none() {
    let scene = scene();
    let observed = in_force(&scene);
    let again = compile(&scene.input(), &observed.ids, None).unwrap();
    assert_eq!(observed.tables, again.desired.tables);
    assert_eq!(observed.ids, again.desired.ids);
    assert!(diff(&observed, &again.desired, &ROOM).unwrap().is_empty());
}

#[test]
fn the_epoch_is_raised_once_and_after_every_other_write() {
    let mut scene = scene();
    let observed = in_force(&scene);
    scene.world.network_policies.clear();
    let after = compile(&scene.input(), &observed.ids, None).unwrap();
    let plan = diff(&observed, &after.desired, &ROOM).unwrap();
    let raised = plan.ops.iter().position(|op| matches!(op, Op::RaiseEpoch { .. })).unwrap();
    assert_eq!(plan.ops[raised], Op::RaiseEpoch { epoch: observed.epoch + 1 });
    assert_eq!(plan.ops[raised + 1], Op::Grace);
    let is_removal = |op: &Op| {
        matches!(op, Op::RemoveRule { .. } | Op::RemovePort { .. } | Op::RemoveProfile { .. } | Op::RemoveId { .. })
    };
    assert!(plan.ops[raised + 2..].iter().all(is_removal), "{plan}");
    assert!(!plan.ops[..raised].iter().any(is_removal), "{plan}");
}

#[test]
fn a_full_map_is_named_with_what_it_needs_and_its_setting() {
    let scene = scene();
    let small = Capacities { peers: 1, ..ROOM };
    let error = diff(&Observed::default(), &scene.compile().desired, &small).unwrap_err();
    assert_eq!(
        error,
        PlanError::Full { map: "addresses", needed: 3, capacity: 1, setting: "maps.peers" },
        "two pods and the node"
    );
    assert_eq!(error.to_string(), "the map of addresses needs 3 entries for this change and has 1: raise maps.peers");
}

#[test]
fn interfaces_need_room_wherever_their_indices_fall() {
    let few = Capacities { interfaces: 1, ..ROOM };
    let error = diff(&Observed::default(), &scene().compile().desired, &few).unwrap_err();
    assert_eq!(error, PlanError::Full { map: "interfaces", needed: 2, capacity: 1, setting: "maps.endpoints" });
}

#[test]
fn a_record_in_use_is_never_overwritten_and_gets_a_new_number() {
    let scene = scene();
    let mut observed = in_force(&scene);
    let (&row, &good) = observed.tables.ports.iter().next().unwrap();
    observed.tables.ports.insert(row, PortRow { lower: Ranked(1), ..good });
    let wanted = compile(&scene.input(), &observed.ids, None).unwrap();
    let Err(PlanError::Corrupt { id }) = diff(&observed, &wanted.desired, &ROOM) else { panic!("not refused") };
    assert_eq!(id.kind, Kind::Program);
    let mut ids = observed.ids.clone();
    ids.distrust(id);
    let repaired = compile(&scene.input(), &ids, None).unwrap();
    diff(&observed, &repaired.desired, &ROOM).unwrap().apply_to(&mut observed);
    assert_eq!(observed.tables, repaired.desired.tables);
    assert_eq!(observed.ids, repaired.desired.ids);
}

#[test]
fn a_pod_becomes_known_one_word_at_a_time() {
    let mut scene = scene();
    let pod = scene.node.endpoints[0].pod.take();
    let mut observed = in_force(&scene);
    assert!(observed.tables.endpoints[&1].is(Endpoint::PENDING));
    scene.node.endpoints[0].pod = pod;
    let known = compile(&scene.input(), &observed.ids, None).unwrap();
    let plan = diff(&observed, &known.desired, &ROOM).unwrap();
    for op in &plan.ops {
        let before = observed.tables.endpoints[&1];
        Plan { ops: vec![op.clone()] }.apply_to(&mut observed);
        let after = observed.tables.endpoints[&1];
        assert!(before.profile == after.profile || before.flags == after.flags, "{op}");
        let restricted = observed.tables.profile_of(1).unwrap().rules[1].set != 0;
        assert!(restricted || after.is(Endpoint::PENDING), "{op}");
    }
    assert!(!observed.tables.endpoints[&1].is(Endpoint::PENDING));
}

#[test]
fn a_restarted_agent_holds_a_pod_from_its_node_while_the_node_s_word_changes() {
    let mut scene = scene();
    let to_nodes =
        ClusterRule { action: Action::Deny, peers: vec![ClusterPeer::Nodes(selector(""))], ports: Vec::new() };
    let nobody_calls_nodes = ClusterNetworkPolicy {
        name: "c".to_owned(),
        tier: PolicyTier::Admin,
        priority: 0,
        subject: Pods { namespaces: selector(""), pods: selector("") },
        ingress: Vec::new(),
        egress: vec![to_nodes],
    };
    scene.world.cluster_network_policies.insert("c".to_owned(), nobody_calls_nodes);
    let mut observed = in_force(&scene);
    // Another set, and a block that holds the node's address: another class.
    scene.policy(NetworkPolicy {
        ingress: Some(vec![rule(&[block("0.0.0.0/0", &[])], &[])]),
        egress: Some(vec![rule(&[], &[])]),
        ..policy("x", "open")
    });
    let after = compile(&scene.input(), &observed.ids, None).unwrap();
    let mut was_held = false;
    for op in diff(&observed, &after.desired, &ROOM).unwrap().ops {
        Plan { ops: vec![op.clone()] }.apply_to(&mut observed);
        let (tables, endpoint) = (&observed.tables, observed.tables.endpoints[&1]);
        let node = tables.peer_of(ip("192.0.2.1"));
        let question = Question::new(Direction::Egress, node, to_tcp(53));
        let denied = matches!(judge(tables, tables.profile_of(1).unwrap(), question).verdict, Verdict::Drop(_));
        assert!(denied || endpoint.is(Endpoint::HELD), "{op}");
        was_held |= endpoint.is(Endpoint::HELD);
    }
    assert!(was_held && observed.tables.endpoints[&1].flags == 0);
}

#[test]
fn a_slot_changes_hands_only_when_nobody_reads_its_record() {
    let mut scene = scene();
    let mut observed = in_force(&scene);
    let gone = scene.node.endpoints[0].clone();
    scene.node.endpoints[0].id = 99;
    scene.node.endpoints[0].ifindex = 99;
    let after = compile(&scene.input(), &observed.ids, None).unwrap();
    let plan = diff(&observed, &after.desired, &ROOM).unwrap();
    let place = |wanted: &dyn Fn(&Op) -> bool| plan.ops.iter().position(wanted).unwrap();
    let left = place(&|op| *op == Op::RemoveInterface { ifindex: gone.ifindex });
    let waited = place(&|op| *op == Op::Grace);
    let written = place(&|op| matches!(op, Op::SetEndpoint { slot, .. } if *slot == gone.slot));
    let led_to = place(&|op| matches!(op, Op::SetInterface { ifindex: 99, .. }));
    assert!(left < waited && waited < written && written < led_to, "{plan}");
    plan.apply_to(&mut observed);
    assert_eq!(observed.tables, after.desired.tables);
}

#[test]
fn a_pod_range_that_goes_is_outside_before_ports_of_nodes_change() {
    let mut scene = scene();
    let range = net("10.1.0.0/16");
    scene.world.nodes.insert(
        "other".to_owned(),
        Node { name: "other".to_owned(), addresses: vec![ip("192.0.2.2")], pod_cidrs: vec![range], ..Node::default() },
    );
    let observed = in_force(&scene);
    scene.world.nodes.remove("other");
    let mut service = service("x", "s", "10.96.0.1");
    service.ports[0].node_port = Some(30080);
    scene.service(service, &["10.244.0.2"]);
    let after = compile(&scene.input(), &observed.ids, None).unwrap();
    let ops = diff(&observed, &after.desired, &ROOM).unwrap().ops;
    let at = |op: Op| ops.iter().position(|it| *it == op).unwrap_or_else(|| panic!("{op}"));
    let outside = at(Op::SetRange { range, peer: Peer::EXTERNAL });
    let node = ip("192.0.2.2").into();
    let gone = at(Op::SetPeer { address: node, peer: Peer::EXTERNAL });
    let is_port = |op: &Op| matches!(op, Op::SetService { key, .. } if key.address.is_unspecified());
    let port = ops.iter().position(is_port).unwrap();
    assert!(outside < port && gone < port, "{ops:?}");
    assert!(port < at(Op::RemoveRange { range }) && port < at(Op::RemovePeer { address: node }), "{ops:?}");
}
