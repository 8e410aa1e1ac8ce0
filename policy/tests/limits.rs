//! Where numbers do not suffice or a binding is given twice, nothing is compiled, and the error says what to do.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{Peer, ProgramRef};
use policy::compile::{CompileError, Id, Ids, Kind, compile};
use policy::model::NetworkPolicy;
use world::{Scene, own_pods, policy, rule, tcp};

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
fn a_program_that_is_too_long_is_refused_with_the_rules_that_make_it_so() {
    // A row for each port and one for each gap: before, between and behind.
    let most = u16::try_from((ProgramRef::MAX_ROWS - 1) / 2).unwrap();
    assert!(compile(&scene(most).input(), &Ids::default(), None).is_ok());
    let error = compile(&scene(most + 1).input(), &Ids::default(), None).unwrap_err();
    assert!(matches!(&error, CompileError::ProgramTooLong { limit: ProgramRef::MAX_ROWS, .. }), "{error}");
    assert!(error.to_string().contains("x/ports"), "{error}");
    assert!(error.to_string().ends_with("name ranges (endPort) instead of ports"), "{error}");
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
