//! NetworkPolicy, case by case (semantics of `networking.k8s.io/v1`): named worlds, judged by compiled rules.

mod world;

use common::abi::{AllowReason, Direction, DropReason, PortKey};
use common::decide::Verdict;
use policy::model::{NetworkPolicy, ObjectRef, Port, Protocol, RuleIndex};
use world::{Scene, block, own_pods, policy, rule, tcp, to_tcp};

const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const FREE: Verdict = Verdict::Allow(AllowReason::NoPolicy);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const OUTSIDE: &str = "198.51.100.7";

/// `x/a` at .1 is judged; `x/b` at .2 and `y/c` at .3 are its peers.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.pod("x/a", "app=a", &["10.244.0.1", "fd00:10:244::1"]);
    scene.pod("x/b", "app=b", &["10.244.0.2", "fd00:10:244::2"]);
    scene.pod("y/c", "app=b", &["10.244.0.3", "fd00:10:244::3"]);
    scene
}

fn ingress(scene: &Scene, other: &str, port: PortKey) -> Verdict {
    scene.judge(&scene.compile(), "x/a", Direction::Ingress, other, port).verdict
}

#[test]
fn no_rule_denies_and_names_the_policies() {
    let mut scene = scene();
    for name in ["deny-1", "deny-2"] {
        scene.policy(NetworkPolicy { ingress: Some(Vec::new()), ..policy("x", name) });
    }
    let compiled = scene.compile();
    let judgement = scene.judge(&compiled, "x/a", Direction::Ingress, "10.244.0.2", to_tcp(80));
    assert_eq!(judgement.verdict, DENIED);
    let named = |name: &str| ObjectRef::NetworkPolicy { namespace: "x".into(), name: name.into(), rule: None };
    assert_eq!(compiled.desired.provenance.rules[&judgement.rule], [named("deny-1"), named("deny-2")]);
    assert_eq!(scene.judge(&compiled, "x/a", Direction::Egress, "10.244.0.2", to_tcp(80)).verdict, FREE);
}
