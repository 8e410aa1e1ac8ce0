//! From a world to the kernel: compile it, compare, write what differs, and later remove what nothing leads to.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use policy::compile::{Compiled, Digest, Id, Input, NodeView, hold};
use policy::model::Config;
use policy::plan::{Observed, Op, PlanError, PrepareError, diff, prepare};

use crate::kernel::{GRACE, Maps};

/// Keeps the maps of a datapath as the newest world wants them. It has their content in memory, so that a change costs
/// what it changes; [`Publisher::verify`] looks whether that is still true.
#[derive(Debug, Default)]
pub struct Publisher {
    /// What is in force.
    compiled: Option<Arc<Compiled>>,
    /// What the maps hold; `None` where they have to be read.
    held: Option<Observed>,
    /// What goes, in this order, each after its grace period: since when nothing leads to it.
    leftovers: Vec<(Op, Instant)>,
}

/// What a publication took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    pub operations: usize,
    pub compile: Duration,
    pub apply: Duration,
}

impl Publisher {
    /// `previous` is the compile that is in force, where the caller knows it.
    #[must_use]
    pub fn new(previous: Option<Compiled>) -> Self {
        Self { compiled: previous.map(Arc::new), ..Self::default() }
    }

    /// What was last published.
    #[must_use]
    pub fn compiled(&self) -> Option<&Arc<Compiled>> {
        self.compiled.as_ref()
    }

    /// Makes a world the one that is enforced. What only the world before used is left for [`Publisher::clean`].
    ///
    /// # Errors
    /// Numbers or a map do not suffice, or a map cannot be written: the old state keeps being enforced.
    pub fn publish(&mut self, maps: &mut Maps, input: &Input<'_>) -> Result<Published> {
        let published = self.step(maps, input)?;
        if self.compiled.as_ref().is_some_and(|compiled| compiled.leftovers) {
            self.step(maps, input)?;
        }
        Ok(published)
    }

    /// Keeps what is enforced while no world is known, and gives endpoints that are new the default verdict.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn hold(&mut self, maps: &mut Maps, node: &NodeView, config: &Config) -> Result<()> {
        let held = self.take_held(maps)?;
        let desired = hold(&held.tables, &held.ids, node, config)?;
        let plan = diff(&held, &desired, &maps.capacities()?)?;
        self.held = Some(held);
        let (change, leftovers) = plan.split();
        self.apply(maps, &change, leftovers)
    }

    /// Removes the leftovers whose grace period is over. Returns when the next one's will be.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn clean(&mut self, maps: &mut Maps) -> Result<Option<Instant>> {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.leftovers.drain(..).partition(|(_, since)| *since + GRACE <= now);
        self.leftovers = later;
        for (op, _) in due {
            self.carry_out(maps, &op)?;
        }
        Ok(self.leftovers.iter().map(|(_, since)| *since + GRACE).min())
    }

    /// Waits until all leftovers are removed.
    ///
    /// # Errors
    /// As [`Publisher::clean`].
    pub fn finish(&mut self, maps: &mut Maps) -> Result<()> {
        while let Some(due) = self.clean(maps)? {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Compares everything that the maps hold with what was last published, and repairs it. Returns how many repairs
    /// that took: none, where nobody else wrote to the maps.
    ///
    /// # Errors
    /// A map cannot be read or written, or the repair has to wait for another publication.
    pub fn verify(&mut self, maps: &mut Maps) -> Result<usize> {
        let Some(compiled) = self.compiled.clone() else { return Ok(0) };
        let observed = maps.observe()?;
        let plan = diff(&observed, &compiled.desired, &maps.capacities()?);
        // Where that is an error, the next publication starts from what there is.
        self.held = plan.is_ok().then_some(observed);
        let (change, leftovers) = plan?.split();
        let known: HashSet<_> = self.leftovers.iter().map(|(op, _)| op.leftover()).collect();
        let unexpected = leftovers.iter().filter(|op| !known.contains(&op.leftover())).count();
        let repairs = change.len() + unexpected;
        self.apply(maps, &change, leftovers)?;
        Ok(repairs)
    }

    fn step(&mut self, maps: &mut Maps, input: &Input<'_>) -> Result<Published> {
        let begin = Instant::now();
        let capacities = maps.capacities()?;
        let (compiled, plan) = loop {
            let held = self.take_held(maps)?;
            let prepared = prepare(input, &held, self.compiled.as_deref(), &capacities);
            self.held = Some(held);
            match prepared {
                // What the changes before this one left may be all that is in the way.
                Err(PrepareError::Plan(PlanError::Full { .. })) if !self.leftovers.is_empty() => self.finish(maps)?,
                prepared => break prepared.context("the change is not enforced")?,
            }
        };
        let compile = begin.elapsed();
        let (change, leftovers) = plan.split();
        let operations = change.len();
        self.apply(maps, &change, leftovers).context("the change is not enforced")?;
        self.compiled = Some(Arc::new(compiled));
        Ok(Published { operations, compile, apply: begin.elapsed() - compile })
    }

    fn take_held(&mut self, maps: &mut Maps) -> Result<Observed> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let mut held = maps.observe()?;
        // Not where numbers stand without one: all would be numbered anew, beside what is in force.
        if held.ids.0.is_empty() {
            let op = Op::SetId { id: Id::SECRET, digest: secret()? };
            maps.carry_out(&op)?;
            op.apply_to(&mut held);
        }
        Ok(held)
    }

    fn apply(&mut self, maps: &mut Maps, change: &[Op], leftovers: Vec<Op>) -> Result<()> {
        change.iter().try_for_each(|op| self.carry_out(maps, op))?;
        let now = Instant::now();
        let known: HashMap<_, _> = self.leftovers.drain(..).map(|(op, since)| (op.leftover(), since)).collect();
        let since = |op: &Op| known.get(&op.leftover()).copied().unwrap_or(now);
        self.leftovers = leftovers.into_iter().map(|op| (op.clone(), since(&op))).collect();
        Ok(())
    }

    fn carry_out(&mut self, maps: &mut Maps, op: &Op) -> Result<()> {
        if let Err(error) = maps.carry_out(op) {
            // Nobody knows what was written.
            self.held = None;
            return Err(error);
        }
        if let Some(held) = &mut self.held {
            op.apply_to(held);
        }
        Ok(())
    }
}

/// Random bits of the kernel's.
fn secret() -> Result<Digest> {
    const SOURCE: &str = "/dev/urandom";
    let mut bits = Digest::default();
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut bits))
        .with_context(|| format!("cannot read {SOURCE}"))?;
    Ok(bits)
}
