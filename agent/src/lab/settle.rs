//! From the pods that a lab has to those that it should have, so that no pod is ever on the network unprotected and
//! an error leaves everything as it was.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use policy::compile::Input;
use policy::model::{Config, PodKey, World};

use super::change::Target;
use super::enforce::{Enforcer, view};
use super::name::LabName;
use super::residents;
use super::state::{PodState, State};
use super::topology::{Node, Pod, Wire, has_services};
use crate::net::NetNs;

/// What a change is worked with.
#[derive(Debug)]
pub struct Settlement<'a> {
    pub name: &'a LabName,
    pub node: &'a Node,
    pub enforcer: Enforcer<'a>,
    pub config: &'a Config,
}

impl Settlement<'_> {
    /// Makes the lab what `target` says, and returns its new state. `old` is the world that is enforced.
    pub async fn settle(mut self, state: &State, old: Option<&World>, target: Target) -> Result<State> {
        let mut next = state.clone();
        let newcomers = reserve(&mut next, &target)?;
        // Numbers that have been used stay used, whatever happens from here on.
        State { pods: state.pods.clone(), manifests: state.manifests.clone(), ..next.clone() }.save(self.name)?;
        if let Err(error) = self.enforce(state, &mut next, old, &target, &newcomers).await {
            self.abandon(&next, &newcomers).await.context("cannot clean up after a failure")?;
            return Err(error);
        }
        (next.manifests, next.kept) = (target.manifests, target.kept);
        next.save(self.name)?;
        self.clear(state, &next).await?;
        for pod in next.pods.values() {
            let inside = Pod::open(self.node, &pod.wire).await?;
            inside.connect(&pod.addresses, &target.roster.ranges, &next.node).await?;
        }
        self.forget_neighbours(state, &next).await?;
        if has_services(&target.world) || old.is_some_and(has_services) {
            self.node.publish_services(&target.world)?;
        }
        Ok(next)
    }

    /// Wires new pods, puts the programs on them, and publishes the new world.
    async fn enforce(
        &mut self,
        state: &State,
        next: &mut State,
        old: Option<&World>,
        target: &Target,
        newcomers: &[Newcomer],
    ) -> Result<()> {
        let wires = self.wire(next, newcomers).await?;
        self.enforcer.attach(&wires)?;
        let previous = match old {
            Some(world) => {
                let node = view(&target.roster.node, self.node, state).await?;
                Some(self.enforcer.compile(&Input { world, config: self.config, node: &node })?)
            }
            None => None,
        };
        let node = view(&target.roster.node, self.node, next).await?;
        let input = Input { world: &target.world, config: self.config, node: &node };
        self.enforcer.publish(&input, previous)
    }

    /// Makes new pods' namespaces and veths, which stay down.
    async fn wire(&self, next: &mut State, newcomers: &[Newcomer]) -> Result<Vec<Wire>> {
        let mut wires = Vec::new();
        for pod in newcomers {
            let netns = self.name.pod(&pod.key)?;
            // What an earlier command left when it crashed.
            self.unmake(&netns)?;
            let wire = Wire::create(self.node, netns, pod.veth).await?;
            wires.push(wire.clone());
            let Newcomer { key, addresses, slot, endpoint, .. } = pod.clone();
            next.pods.insert(key.to_string(), PodState { key, wire, addresses, slot, endpoint });
        }
        Ok(wires)
    }

    /// Takes new pods away again, those too that are half made.
    async fn abandon(&mut self, next: &State, newcomers: &[Newcomer]) -> Result<()> {
        for pod in newcomers {
            match next.pods.get(&pod.key.to_string()) {
                Some(made) => self.remove(&made.wire).await?,
                None => self.unmake(&self.name.pod(&pod.key)?)?,
            }
        }
        Ok(())
    }

    /// Takes away what is no more: pods, and addresses of pods.
    async fn clear(&mut self, state: &State, next: &State) -> Result<()> {
        for (name, pod) in &state.pods {
            match next.pods.get(name) {
                None => self.remove(&pod.wire).await?,
                Some(same) if same.endpoint != pod.endpoint => {
                    let lost = pod.addresses.iter().filter(|address| !same.addresses.contains(address));
                    let lost: Vec<IpAddr> = lost.copied().collect();
                    Pod::open(self.node, &pod.wire).await?.disconnect(&lost).await?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// On a bridge, everybody may remember an address where it was.
    async fn forget_neighbours(&self, state: &State, next: &State) -> Result<()> {
        let Some(bridge) = self.node.bridge else { return Ok(()) };
        let places = |state: &State| -> BTreeSet<(IpAddr, u32)> {
            let pods = state.pods.values();
            pods.flat_map(|pod| pod.addresses.iter().map(|address| (*address, pod.wire.ifindex))).collect()
        };
        let left: Vec<IpAddr> = places(state).difference(&places(next)).map(|(address, _)| *address).collect();
        for address in left {
            self.node.netlink.forget_neighbour(bridge, address).await?;
            for pod in next.pods.values() {
                Pod::open(self.node, &pod.wire).await?.forget(address).await?;
            }
        }
        Ok(())
    }

    /// Removes a pod's namespace, its veth and the programs on that.
    async fn remove(&mut self, wire: &Wire) -> Result<()> {
        self.unmake(&wire.netns)?;
        self.node.netlink.remove_link(wire.ifindex).await?;
        self.enforcer.detach(wire.ifindex)
    }

    /// Removes a pod's namespace with all that lives inside. None there is no error.
    fn unmake(&self, netns: &str) -> Result<()> {
        if self.name.namespaces()?.iter().any(|name| name == netns) {
            residents::end(&NetNs::named(netns)?)?;
            NetNs::delete_named(netns)?;
        }
        Ok(())
    }
}

/// A pod that has no namespace yet, and the numbers that it gets.
#[derive(Clone, Debug)]
struct Newcomer {
    key: PodKey,
    addresses: Vec<IpAddr>,
    veth: u32,
    slot: u32,
    endpoint: u32,
}

/// Takes out pods that are gone, gives pods with other addresses a new endpoint, and new pods all of their numbers.
fn reserve(next: &mut State, target: &Target) -> Result<Vec<Newcomer>> {
    let wanted = &target.roster.pods;
    next.pods.retain(|_, pod| wanted.contains_key(&pod.key));
    let mut newcomers: Vec<Newcomer> = Vec::new();
    for (key, addresses) in wanted {
        let name = key.to_string();
        if next.pods.get(&name).is_some_and(|pod| pod.addresses == *addresses) {
            continue;
        }
        let (endpoint, slot) = next.new_endpoint(newcomers.iter().map(|pod| pod.slot))?;
        if let Some(pod) = next.pods.get_mut(&name) {
            pod.addresses.clone_from(addresses);
            (pod.endpoint, pod.slot) = (endpoint, slot);
        } else {
            let (key, addresses, veth) = (key.clone(), addresses.clone(), next.new_veth());
            newcomers.push(Newcomer { key, addresses, veth, slot, endpoint });
        }
    }
    Ok(newcomers)
}
