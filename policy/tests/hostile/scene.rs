//! A tenant that asks for too much, another beside it, and a node that enforces what both write.

use common::abi::{AllowReason, Direction, DropReason};
use common::decide::Verdict;
use policy::compile::{Compiled, Resource};
use policy::model::{NetworkPolicy, Rule};
use policy::plan::{Capacities, Observed, prepare};

use crate::world::{Scene, own_pods, policy, rule, selector, tcp, to_tcp};

/// Small maps: a third of each is what a compile may take.
pub const SMALL: Capacities = Capacities {
    peers: 1 << 10,
    ranges: 3 * 40,
    services: 1 << 10,
    rules: 3 * 100,
    ports: 3 * 400,
    profiles: 1 << 10,
    endpoints: 1 << 10,
    interfaces: 1 << 10,
    ids: 3 * 1000,
};

pub const FRIENDS: usize = 3;
pub const HOSTILES: usize = 40;

/// Red's x, whose pod a is for its pod b alone, and black's namespace, whose pods all have a label of their own.
pub fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("x", "red");
    scene.owned("y", "red");
    scene.owned("evil", "black");
    for (index, name) in ["a", "b", "c"].iter().take(FRIENDS).enumerate() {
        scene.pod(&format!("x/{name}"), &format!("app={name}"), &[&format!("10.244.0.{}", index + 1)]);
    }
    for index in 0..HOSTILES {
        scene.pod(&format!("evil/{index}"), &format!("own=v{index}"), &[&format!("10.244.1.{}", index + 1)]);
    }
    scene.policy(NetworkPolicy {
        ingress: Some(vec![rule(&[own_pods("app=b")], &[tcp(80)])]),
        subject: selector("app=a"),
        ..policy("x", "from-b")
    });
    scene
}

pub fn hostile(scene: &mut Scene, name: &str, ingress: Vec<Rule>) {
    scene.policy(NetworkPolicy { ingress: Some(ingress), ..policy("evil", name) });
}

/// More rows than there are: each pod's set knows each other pod.
pub fn overfill(scene: &mut Scene) {
    for index in 0..HOSTILES {
        let from = rule(&[own_pods(&format!("own=v{index}"))], &[tcp(80)]);
        let to = selector(&format!("own=v{}", (index + 1) % HOSTILES));
        let mut policy = NetworkPolicy { subject: to, ..policy("evil", &format!("p{index}")) };
        policy.ingress = Some(vec![from, rule(&[own_pods("own")], &[tcp(81)])]);
        scene.policy(policy);
    }
}

/// What is enforced, and what it was compiled from.
#[derive(Default)]
pub struct Node {
    pub observed: Observed,
    pub compiled: Compiled,
}

impl Node {
    /// Makes a scene the one that is enforced, as an agent does it.
    pub fn enforce(&mut self, scene: &Scene) {
        let mut previous = std::mem::take(&mut self.compiled);
        loop {
            let (compiled, plan) = prepare(&scene.input(), &self.observed, Some(&previous), &SMALL).unwrap();
            plan.apply_to(&mut self.observed);
            let leftovers = compiled.leftovers;
            previous = compiled;
            if !leftovers {
                break;
            }
        }
        self.compiled = previous;
    }

    pub fn verdict(&self, scene: &Scene, pod: &str, direction: Direction, other: &str, port: u16) -> Verdict {
        let compiled = &self.compiled;
        assert_eq!(self.observed.tables, compiled.desired.tables, "all of it is enforced");
        scene.judge(compiled, pod, direction, other, to_tcp(port)).verdict
    }

    pub fn excess(&self) -> Vec<(&str, Resource)> {
        self.compiled.excesses.iter().map(|excess| (excess.namespace.as_str(), excess.of)).collect()
    }
}

pub const B: &str = "10.244.0.2";
pub const C: &str = "10.244.0.3";
pub const EVIL: &str = "10.244.1.2";

/// What red wrote holds; what black did not want to be reached by stays out.
pub fn unharmed(node: &Node, scene: &Scene) {
    let allowed = Verdict::Allow(AllowReason::NetworkPolicy);
    assert_eq!(node.verdict(scene, "x/a", Direction::Ingress, B, 80), allowed);
    assert_eq!(node.verdict(scene, "x/a", Direction::Ingress, C, 80), Verdict::Drop(DropReason::DefaultDeny));
    assert_eq!(node.verdict(scene, "x/b", Direction::Ingress, EVIL, 80), Verdict::Drop(DropReason::TenantIsolation));
    let closed = node.verdict(scene, "evil/0", Direction::Ingress, EVIL, 80);
    assert_eq!(closed, Verdict::Drop(DropReason::Capacity));
    let open = node.verdict(scene, "evil/0", Direction::Egress, "192.0.2.77", 80);
    assert_eq!(open, Verdict::Allow(AllowReason::NoPolicy), "no policy of it isolates in egress");
}
