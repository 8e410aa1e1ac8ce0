//! `bulkhead lab` (CONTRACT.md §5): pods as network namespaces on this machine, enforced by the same compiler,
//! programs and maps as on a node.
//!
//! No process holds a lab: its namespaces, its pinned programs and its state file outlive the commands.

mod change;
mod check;
mod down;
mod enforce;
mod exec;
mod interrupt;
mod name;
mod probe;
mod ps;
mod residents;
mod roster;
mod settle;
mod state;
mod topology;
pub mod tutorial;

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use policy::model::{PodKey, World};
use tokio::runtime::Runtime;

use crate::config::Settings;
use crate::lock::Lock;
use crate::runtime::one_thread;

pub use change::UpOptions;
pub use check::{Checked, Flow, Report};
pub use exec::exec;
pub use interrupt::Interrupt;
pub use name::LabName;
pub use ps::{Listing, NodeEntry, PodEntry};
pub use topology::Cni;

use state::State;

/// A lab that is up, for as long as a command works on it: no other command can meanwhile.
#[derive(Debug)]
pub struct Lab {
    name: LabName,
    state: State,
    settings: Settings,
    lock: Lock,
    runtime: Runtime,
}

impl Lab {
    /// # Errors
    /// The caller is not root, or no lab of that name is up.
    pub fn open(name: &LabName) -> Result<Self> {
        need_root()?;
        let lock = name.lock()?;
        let opened = State::load(name).and_then(|state| Ok((state.settings(name)?, state)));
        match opened {
            Ok((settings, state)) => Ok(Self { name: name.clone(), state, settings, lock, runtime: one_thread()? }),
            Err(error) if !State::exists(name)? => {
                lock.remove()?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes this lab.
    ///
    /// # Errors
    /// As [`Lab::down`].
    pub fn remove(self) -> Result<()> {
        down::down(&self.name, self.lock)
    }

    /// Removes a lab and whatever is left of it. Nothing there is no error.
    ///
    /// # Errors
    /// The caller is not root, or something cannot be removed.
    pub fn down(name: &LabName) -> Result<()> {
        need_root()?;
        let lock = name.lock()?;
        down::down(name, lock)
    }

    #[must_use]
    pub const fn name(&self) -> &LabName {
        &self.name
    }

    /// The addresses outside the cluster that the lab's world owns.
    #[must_use]
    pub fn external(&self) -> &[IpAddr] {
        &self.state.external
    }

    /// The world that is enforced.
    ///
    /// # Errors
    /// The manifests are not valid.
    pub fn world(&self) -> Result<World> {
        Ok(self.state.objects().world(&self.state.assigned())?.world)
    }

    /// The network namespace of a pod; a hostNetwork pod's is its node's.
    ///
    /// # Errors
    /// The lab has no such pod.
    pub fn namespace_of(&self, pod: &PodKey) -> Result<String> {
        self.namespace_in(&self.world()?, pod)
    }

    fn namespace_in(&self, world: &World, pod: &PodKey) -> Result<String> {
        let Self { name, state, .. } = self;
        let found = world.pods.get(pod).with_context(|| {
            format!("the lab {name} has no pod {pod}: `bulkhead lab ps --name {name}` lists its pods")
        })?;
        if found.host_network {
            return Ok(name.node());
        }
        let wired = state.pods.get(&pod.to_string()).with_context(|| format!("pod {pod} has no network namespace"))?;
        Ok(wired.wire.netns.clone())
    }
}

fn need_root() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces and needs root: run it with sudo");
    Ok(())
}
