//! Judgement behind the node's rewriting: each way to call a pod by another address, on real veths.

use agent::lab::Cni;
use common::abi::{Direction, DropReason};

use crate::scene::{self, Answer, BACKEND, Scene, Stage};

const TOPOLOGIES: [Cni; 2] = [Cni::Ptp, Cni::Bridge];

fn isolated() -> Answer {
    Answer::Dropped(Direction::Ingress, DropReason::TenantIsolation)
}

fn denied() -> Answer {
    Answer::Dropped(Direction::Egress, DropReason::DefaultDeny)
}

fn red() -> Answer {
    Answer::From("a2".to_owned())
}

#[test]
fn every_way_to_a_pod_is_judged_as_that_pod() {
    for cni in TOPOLOGIES {
        let mut scene = Scene::up("every-way", cni, Stage::AfterDnat);
        scene.check(&scene.red(), &red());
        scene.check(&scene.green(), &isolated());
        scene.check_each_backend(&[red(), isolated()]);

        // A policy means the backend's port, not the Service's.
        scene.apply(&scene::egress_to(BACKEND));
        scene.check(&scene.red(), &red());
        scene.check(&scene.green(), &denied());
        scene.check_each_backend(&[red(), denied()]);
        scene.apply(&scene::egress_to(80));
        scene.check(&scene.red(), &denied());
        scene.check_each_backend(&[denied(), denied()]);
    }
}

#[test]
fn a_receiver_is_asked_about_who_calls_and_not_about_the_node() {
    for cni in TOPOLOGIES {
        let mut scene = Scene::up("receiver", cni, Stage::AfterDnat);
        scene.apply(&scene::ingress_from("a"));
        scene.check(&scene.red(), &red());
        scene.apply(&scene::ingress_from("b"));
        scene.check(&scene.red(), &Answer::Dropped(Direction::Ingress, DropReason::DefaultDeny));
    }
}

#[test]
fn what_no_object_describes_is_judged_like_any_other() {
    for cni in TOPOLOGIES {
        let scene = Scene::up("by-hand", cni, Stage::AfterDnat);
        let node = scene.node();
        let outside = [203, 0, 113, 77].into();
        scene.dnat_by_hand(&[(node, 5555, "b"), (node, 5556, "a2"), (outside, 80, "b"), (outside, 81, "a2")]);
        scene.check(&[(node, 5555), (outside, 80)], &isolated());
        scene.check(&[(node, 5556), (outside, 81)], &red());
    }
}

#[test]
fn what_nothing_rewrites_is_judged_as_the_address_that_it_is() {
    let mut scene = Scene::up("unrewritten", Cni::Ptp, Stage::AfterDnat);
    let undecided = Answer::Dropped(Direction::Egress, DropReason::ServiceUndecided);
    scene.check(&[([10, 96, 255, 254].into(), 80), (scene.cluster_ip("a2", "web"), 81)], &undecided);
    // Nobody listens at the node; it says so.
    scene.forget_services();
    scene.check(&[(scene.node(), 30001)], &Answer::Refused);
    scene.check(&[(scene.cluster_ip("a2", "web"), 80)], &undecided);
    scene.apply(&scene::egress_to(BACKEND));
    scene.forget_services();
    scene.check(&[(scene.node(), 30001)], &Answer::Refused);
    scene.check(&[([203, 0, 113, 5].into(), 80)], &denied());
}

#[test]
fn a_change_of_policy_cuts_what_is_open_in_both_directions() {
    for cni in TOPOLOGIES {
        let mut scene = Scene::up("revoked", cni, Stage::AfterDnat);
        for door in scene.red() {
            scene.apply(&scene::egress_to(BACKEND));
            let mut call = scene.open(door);
            assert!(call.echo(), "{door:?} {cni:?}");
            scene.apply(scene::ANOTHER_POLICY);
            assert!(call.echo(), "still allowed: {door:?} {cni:?}");
            let cut = scene.flows_cut();
            scene.apply(&scene::egress_to(80));
            assert!(!call.echo(), "{door:?} {cni:?}");
            assert_eq!(scene.flows_cut(), cut + 1, "{door:?} {cni:?}");
            scene.apply(&scene::egress_to(BACKEND));
            assert!(call.recovers(), "{door:?} {cni:?}");
        }
    }
}

#[test]
fn nothing_leaks_while_the_programs_are_replaced() {
    let mut scene = Scene::up("replaced", Cni::Ptp, Stage::AfterDnat);
    let doors = scene.green();
    let flood = scene.flood(&doors);
    for round in 0..8 {
        scene.apply(&scene::egress_to(BACKEND + u16::from(round % 2 == 0)));
    }
    assert_eq!(flood.end(), (true, 0), "sent, and got through");
    let links = scene.netfilter_links();
    assert_eq!(links.len(), 4, "{links:?}");
    let tried = scene.down();
    assert!(tried.remains().is_empty(), "{:?}", tried.remains());
}
