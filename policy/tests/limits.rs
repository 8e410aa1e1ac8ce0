//! Where numbers do not suffice or a binding is given twice, nothing is compiled, and the error says what to do.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, Direction, DropReason, Peer, ProgramRef};
use common::decide::Verdict;
use policy::compile::{CompileError, Id, Ids, Kind, compile};
use policy::model::NetworkPolicy;
use world::{Scene, own_pods, policy, rule, tcp, to_tcp};

/// Two pods; the policy of the first one's namespace allows the second on every other port of so many.
fn scene(ports: u16) -> Scene {
    let mut scene = Scene::default();
    scene.owned("x", "red");
    scene.pod("x/a", "app=a", &["10.244.0.1"]);
    scene.pod("x/b", "app=b", &["10.244.0.2"]);
    let ports: Vec<_> = (1..=ports).map(|port| tcp(2 * port)).collect();
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&[own_pods("app=b")], &ports)]), ..policy("x", "ports") });
    scene
}

#[test]
fn a_program_that_is_too_long_closes_the_policies_that_make_it_so() {
    // A row for each port and one for each gap: before, between and behind.
    let most = u16::try_from((ProgramRef::MAX_ROWS - 1) / 2).unwrap();
    assert!(compile(&scene(most).input(), &Ids::default(), None).is_ok());
    let scene = scene(most + 1);
    let compiled = scene.compile();
    assert_eq!(
        compiled.excesses[0].to_string(),
        "namespace/x (tenant red): its NetworkPolicies allow nothing (capacity), because the rules for one peer may take \
         4096 intervals of ports and would take 4097 with them: name ranges (endPort) instead of ports"
    );
    let judgement = scene.judge(&compiled, "x/a", Direction::Ingress, "10.244.0.2", to_tcp(2));
    assert_eq!(judgement.verdict, Verdict::Drop(DropReason::Capacity));
    let said: Vec<_> = compiled.desired.provenance.rules[&judgement.rule].iter().map(ToString::to_string).collect();
    assert_eq!(said, ["networkpolicy/x/*"]);
    let egress = scene.judge(&compiled, "x/a", Direction::Egress, "10.244.0.2", to_tcp(2));
    assert_eq!(egress.verdict, Verdict::Allow(AllowReason::NoPolicy), "no policy isolates in egress");
}

#[test]
fn identities_that_are_all_in_use_are_not_given_out_again() {
    let held = |last| Ids((1..=last).map(|number| (Id { kind: Kind::Identity, number }, [0; 16])).collect());
    let scene = scene(1);
    assert!(compile(&scene.input(), &held(Peer::MAX_IDENTITY - 1), None).is_ok());
    let error = compile(&scene.input(), &held(Peer::MAX_IDENTITY), None).unwrap_err();
    let limit = Peer::MAX_IDENTITY;
    let remedy = "let fewer labels be selected on";
    assert_eq!(error, CompileError::Full { what: "identities", limit, remedy });
}

#[test]
fn a_slot_or_an_interface_of_two_endpoints_is_refused() {
    let mut scene = scene(1);
    let (slot, ifindex) = (scene.node.endpoints[1].slot, scene.node.endpoints[1].ifindex);
    scene.node.endpoints[1].slot = scene.node.endpoints[0].slot;
    let shared = compile(&scene.input(), &Ids::default(), None).unwrap_err();
    assert_eq!(shared, CompileError::SharedBinding { what: "slot", number: scene.node.endpoints[0].slot });
    scene.node.endpoints[1].slot = slot;
    scene.node.endpoints[0].ifindex = ifindex;
    let shared = compile(&scene.input(), &Ids::default(), None).unwrap_err();
    assert_eq!(shared.to_string(), format!("two endpoints have the interface {ifindex}: unbind one of them"));
}
