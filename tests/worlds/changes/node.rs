//! A node whose maps are ordinary ones, and change by plans.

use common::abi::Direction;
use common::decide::Seen;
use policy::compile::{Compiled, Ids};
use policy::plan::{Capacities, Observed, Plan, diff};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tests::host::{HostFrame, HostNode};
use tests::witness::random::PODS;
use tests::witness::{Canonical, Cluster, Enforced, LocalPod};

use crate::bounds::Bounds;

/// Room for everything.
const ROOM: Capacities = Capacities {
    peers: 1 << 20,
    ranges: 1 << 20,
    services: 32_768,
    rules: 1 << 20,
    ports: 1 << 20,
    profiles: 1 << 20,
    endpoints: 1 << 10,
    interfaces: 1 << 10,
    ids: 1 << 20,
};

#[derive(Debug, Default)]
pub struct Node {
    pub operations: usize,
    observed: Observed,
    /// `None` after a restart.
    compiled: Option<Compiled>,
    pods: Vec<LocalPod>,
    /// By place: how many veths the pod has had.
    veths: [u32; PODS.len()],
}

impl Node {
    /// The pod's next veth is another one.
    pub fn recreate(&mut self, place: usize) {
        self.veths[place] += 1;
    }

    /// Forgets what it compiled.
    pub fn restart(&mut self) {
        self.compiled = None;
    }

    /// The next world, operation by operation.
    pub fn move_to(&mut self, cluster: &Cluster) -> TestCaseResult {
        self.find_pods(cluster);
        let compiled = cluster.compile(&self.pods, &self.observed.ids, self.compiled.as_ref());
        self.carry_out(&compiled)?;
        self.compiled = Some(compiled);
        Ok(())
    }

    /// Lets go of what only the world before needed. Then there is nothing left to do.
    pub fn settle(&mut self, cluster: &Cluster) -> TestCaseResult {
        self.move_to(cluster)?;
        self.move_to(cluster)?;
        let leftovers = self.compiled.as_ref().is_none_or(|compiled| compiled.leftovers);
        prop_assert!(!leftovers);
        let compiled = cluster.compile(&self.pods, &self.observed.ids, self.compiled.as_ref());
        let plan = diff(&self.observed, &compiled.desired, &ROOM);
        prop_assert!(plan.as_ref().is_ok_and(Plan::is_empty), "{plan:?}");
        Ok(())
    }

    fn find_pods(&mut self, cluster: &Cluster) {
        let gone = |pod: &LocalPod, now: &[LocalPod]| !now.iter().any(|other| other.name == pod.name);
        let interfaces: Vec<u32> = (11..).take(PODS.len()).collect();
        let now = cluster.local_pods(&interfaces);
        for pod in &self.pods {
            if gone(pod, &now) {
                // Should it come back, it has another veth.
                self.veths[pod.binding.slot as usize] += 1;
            }
        }
        self.pods = now;
        for pod in &mut self.pods {
            let earlier = 100 * self.veths[pod.binding.slot as usize];
            pod.binding.id += earlier;
            pod.binding.ifindex += earlier;
        }
    }

    fn carry_out(&mut self, compiled: &Compiled) -> TestCaseResult {
        let plan =
            diff(&self.observed, &compiled.desired, &ROOM).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let bounds = Bounds::new(&self.observed.tables, &compiled.desired.tables);
        for op in plan.ops {
            let step = Plan { ops: vec![op.clone()] };
            step.apply_to(&mut self.observed);
            bounds.check(&self.observed.tables, &op)?;
            self.operations += 1;
        }
        prop_assert_eq!(&self.observed.tables, &compiled.desired.tables);
        prop_assert_eq!(&self.observed.ids, &compiled.desired.ids);
        Ok(())
    }

    /// What was reached, and what a compile of the cluster from nothing gives.
    pub fn canonical(&self, cluster: &Cluster) -> (Canonical, Canonical) {
        let anew = cluster.compile(&self.pods, &Ids::default(), None).desired;
        (Canonical::of(&self.observed.tables, &self.observed.ids), Canonical::of(&anew.tables, &anew.ids))
    }

    pub fn enforced(&self, cluster: &Cluster) -> Enforced {
        let compiled = cluster.compile(&self.pods, &self.observed.ids, self.compiled.as_ref());
        Enforced { pods: self.pods.clone(), compiled }
    }

    /// Decides about packets by the tables that were reached, each as if it were the first.
    pub fn host(&self) -> impl FnMut(Direction, &HostFrame) -> Seen {
        let mut host = HostNode::new(self.observed.tables.clone());
        move |direction, frame| {
            host.forget();
            host.run(direction, frame)
        }
    }
}
