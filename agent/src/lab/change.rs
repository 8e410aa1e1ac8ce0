//! Bringing a lab up, and changing what is in it.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use policy::model::{Isolation, World};

use super::enforce::Enforcer;
use super::name::LabName;
use super::roster::Roster;
use super::settle::Settlement;
use super::state::State;
use super::topology::{Cni, Node, NodePlan};
use super::{Lab, down, need_root};
use crate::config::{self, Settings};
use crate::ingest::{Kind, Manifests, ObjectId};
use crate::runtime::one_thread;
use crate::terminal::say;

/// What a lab is brought up with.
#[derive(Clone, Debug)]
pub struct UpOptions {
    pub cni: Cni,
    pub config: Option<PathBuf>,
    pub tenancy: Option<Isolation>,
    /// Addresses outside the cluster, for the world to own.
    pub external: Vec<IpAddr>,
}

/// What a lab should become.
#[derive(Debug)]
pub struct Target {
    pub manifests: Manifests,
    /// What a terminating namespace has lost and keeps.
    pub kept: Manifests,
    pub world: World,
    pub roster: Roster,
}

impl Lab {
    /// Brings a lab up. Returns when everything is enforced; after an error nothing is left.
    ///
    /// # Errors
    /// The caller is not root, a lab of that name is up already, something in the manifests does not suit a lab, or
    /// the machine lacks something.
    pub fn up(name: &LabName, manifests: Manifests, options: &UpOptions) -> Result<Self> {
        need_root()?;
        let lock = name.lock()?;
        if State::exists(name)? {
            bail!(
                "the lab {name} is up already: `bulkhead lab apply --name {name}` changes it, `bulkhead lab down \
                 --name {name}` removes it, another --name brings up another"
            );
        }
        let built = build(name, manifests, options).and_then(|(state, settings)| Ok((state, settings, one_thread()?)));
        match built {
            Ok((state, settings, runtime)) => Ok(Self { name: name.clone(), state, settings, lock, runtime }),
            Err(error) => {
                down::down(name, lock).context("cannot clean up after a failure")?;
                Err(error)
            }
        }
    }

    /// Adds objects, or changes those of the same kind, namespace and name. Returns when that is enforced.
    ///
    /// # Errors
    /// Something in the manifests does not suit the lab, or a map has no room: nothing has changed then.
    pub fn apply(&mut self, newer: Manifests) -> Result<()> {
        let mut manifests = self.state.manifests.clone();
        manifests.merge(newer);
        self.change(manifests)
    }

    /// Takes objects out.
    ///
    /// # Errors
    /// As [`Lab::apply`], or there is no such object.
    pub fn delete(&mut self, objects: &[ObjectId]) -> Result<()> {
        let mut manifests = self.state.manifests.clone();
        for object in objects {
            ensure!(manifests.remove(object), "the lab {} has no {object}", self.name);
        }
        self.change(manifests)
    }

    /// Makes these objects the lab's, and takes out all others.
    ///
    /// # Errors
    /// As [`Lab::apply`].
    pub fn replace(&mut self, manifests: Manifests) -> Result<()> {
        self.change(manifests)
    }

    fn change(&mut self, manifests: Manifests) -> Result<()> {
        let old = self.world()?;
        let target = Target::of(&self.name, manifests, &self.settings, &self.state, &old)?;
        ensure!(
            target.roster.node_addresses == self.state.node,
            "the addresses of node {} are fixed while the lab is up: bring it down and up again",
            target.roster.node
        );
        let Self { name, state, settings, runtime, .. } = self;
        *state = runtime.block_on(async {
            let node = Node::open(&name.node(), state.cni).await?;
            let enforcer = Enforcer::open(name, &node.namespace, settings)?;
            Settlement { name, node: &node, enforcer, config: &settings.policy }.settle(state, Some(&old), target).await
        })?;
        Ok(())
    }
}

impl Target {
    /// What follows `old`.
    ///
    /// # Errors
    /// The manifests are not valid, or do not suit a lab.
    pub fn of(name: &LabName, manifests: Manifests, settings: &Settings, state: &State, old: &World) -> Result<Self> {
        let loaded = manifests.world(&state.assigned())?;
        for warning in &loaded.warnings {
            say(&format!("bulkhead: warning: {warning}"));
        }
        let mut world = loaded.world;
        world.hold_policies(old);
        let is_kept = |id: &ObjectId| {
            let policy = id.kind == Kind::NetworkPolicy && !manifests.contains(id);
            policy && world.network_policies.contains_key(&(id.namespace.clone(), id.name.clone()))
        };
        let kept =
            Vec::from(state.objects()).into_iter().filter(|object| is_kept(&object.id)).collect::<Vec<_>>().into();
        let roster = Roster::of(&world, &settings.policy, state.cni, &state.external)?;
        roster.pods.keys().try_for_each(|pod| name.pod(pod).map(drop))?;
        Ok(Self { manifests, kept, world, roster })
    }
}

fn build(name: &LabName, manifests: Manifests, options: &UpOptions) -> Result<(State, Settings)> {
    let UpOptions { cni, config, tenancy, external } = options;
    let mut settings = config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    settings.policy.mode = tenancy.unwrap_or(settings.policy.mode);
    let mut state = State::new(*cni, tenancy.map(|mode| mode.name().to_owned()), external.clone());
    let target = Target::of(name, manifests, &settings, &state, &World::default())?;
    state.node.clone_from(&target.roster.node_addresses);
    state.save(name)?;
    if let Some(file) = config {
        State::keep_config(name, file)?;
    }
    let state = one_thread()?.block_on(async {
        let plan = NodePlan { cni: *cni, addresses: &state.node, ranges: &target.roster.ranges, external };
        let node = Node::create(&name.node(), &name.world(), &plan).await?;
        let enforcer = Enforcer::open(name, &node.namespace, &settings)?;
        Settlement { name, node: &node, enforcer, config: &settings.policy }.settle(&state, None, target).await
    })?;
    Ok((state, settings))
}
