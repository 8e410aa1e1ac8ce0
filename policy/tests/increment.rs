//! What a change costs the kernel grows with the change, not with the world: as many operations in one of 4,000 pods as
//! in one of 1,000.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

#[path = "../benches/world.rs"]
mod cluster;
mod world;

use cluster::{CHANGES, Change, Size};
use policy::compile::{Binding, Compiled, Input, NodeView};
use policy::model::{Config, PodKey, World};
use policy::plan::{Observed, Op, prepare};
use world::ROOM;

const LOCAL: usize = 20;
const SMALL: Size = Size { pods: 2_000, policies: 100, tenants: 20, namespaces: 100, local: LOCAL };
const LARGE: Size = Size { pods: 8_000, policies: 400, tenants: 80, namespaces: 400, local: LOCAL };

/// A node with one pod of each of the first namespaces, which are the same whatever the size.
struct Cluster {
    world: World,
    node: NodeView,
    observed: Observed,
    compiled: Option<Compiled>,
}

impl Cluster {
    fn of(size: Size) -> Self {
        let (mut world, node) = cluster::cluster(size);
        // Whoever names all pods of a cluster pays a row for each kind of them: that is a large change.
        for policy in world.network_policies.values_mut() {
            policy.ingress.as_mut().unwrap()[0].peers.truncate(1);
        }
        let endpoints = (0..LOCAL as u32).map(|number| {
            let pod = PodKey { namespace: format!("namespace-{number}"), name: format!("pod-{number}") };
            let addresses = world.pods[&pod].addresses.clone();
            let (slot, ifindex) = (number + 1, number + 100);
            Binding { slot, id: slot, ifindex, addresses, pod: Some(pod), ..node.endpoints[0].clone() }
        });
        let node = NodeView { endpoints: endpoints.collect(), ..node };
        let mut cluster = Self { world, node, observed: Observed::default(), compiled: None };
        cluster.enforce();
        assert_eq!(cluster.enforce(), 0, "nothing has changed");
        cluster
    }

    /// How many entries of maps are written and removed until the world is enforced and the one before is gone.
    fn enforce(&mut self) -> usize {
        let mut operations = 0;
        loop {
            let config = Config::default();
            let input = Input { world: &self.world, config: &config, node: &self.node };
            let (compiled, plan) = prepare(&input, &self.observed, self.compiled.as_ref(), &ROOM).unwrap();
            assert_eq!(compiled.excesses, []);
            plan.apply_to(&mut self.observed);
            operations += plan.ops.iter().filter(|op| !matches!(op, Op::Grace | Op::RaiseEpoch { .. })).count();
            let leftovers = compiled.leftovers;
            self.compiled = Some(compiled);
            if !leftovers {
                return operations;
            }
        }
    }
}

/// The operations of a change in a cluster of that size.
fn operations(size: Size, change: Change) -> usize {
    let mut cluster = Cluster::of(size);
    change(&mut cluster.world);
    cluster.enforce()
}

#[test]
fn operations_grow_with_the_change_and_not_with_the_world() {
    for (what, change) in CHANGES {
        let [small, large] = [SMALL, LARGE].map(|size| operations(size, change));
        println!("{what}: {large} operations");
        assert_eq!(small, large, "{what}");
        let most = match what {
            "one label that nobody selects on" => 0,
            "one pod more" | "one pod less" => 8,
            "one label that policies select on" => 16,
            _ => 200,
        };
        assert!(large <= most, "{what}: {large} operations, at most {most}");
    }
}
