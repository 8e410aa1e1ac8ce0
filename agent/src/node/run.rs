//! The loop: from what is found and what the API server says to what the kernel enforces.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use jiff::Timestamp;
use policy::compile::Input;
use policy::model::World;
use tokio::sync::watch::{Receiver, Sender};
use tracing::{error, warn};

use super::clock::Clock;
use super::memory::{Folder, Memory};
use super::open::adoption_end;
use super::status::{Enforced, Publication, Status};
use super::timings::Timings;
use super::veths::{Look, Veths, Which};
use crate::config::Settings;
use crate::discover::Sighting;
use crate::kernel::{Attachment, Datapath, Pins, now_ticks};
use crate::malloc;
use crate::publish::{Published, Publisher};
use crate::watch::{Snapshot, Watch};

/// What is fixed while an agent runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Node's name.
    pub node: String,
    pub settings: Settings,
    pub attachment: Attachment,
    pub pins: Pins,
    /// Folder for what survives the agent.
    pub state: PathBuf,
}

/// How the API server is doing, besides what it says.
pub trait Cluster {
    /// What keeps the first world back.
    fn missing(&self) -> Vec<String>;
    /// For how long nothing has been heard of some resource.
    fn silence(&self) -> Duration;
    /// Takes note of the processor time that the newest world has cost.
    fn worked(&self, time: Duration);
}

impl Cluster for Watch {
    fn missing(&self) -> Vec<String> {
        Self::missing(self)
    }

    fn silence(&self) -> Duration {
        self.ages().into_iter().map(|(_, age)| age).max().unwrap_or_default()
    }

    fn worked(&self, time: Duration) {
        Self::worked(self, time);
    }
}

/// Where everything comes from.
#[derive(Debug)]
pub struct Inputs<C> {
    pub cluster: Arc<C>,
    pub snapshots: Receiver<Option<Arc<Snapshot>>>,
    pub sightings: Receiver<Arc<Sighting>>,
}

/// The agent, with its datapath open.
#[derive(Debug)]
pub struct Node {
    pub(super) options: Options,
    pub(super) datapath: Datapath,
    pub(super) publisher: Publisher,
    pub(super) folder: Folder,
    /// As it was last saved.
    pub(super) memory: Memory,
    pub(super) veths: Veths,
    /// Programs of another version are on the veths: they stay until the maps of this one are filled.
    pub(super) swap_later: bool,
    /// No agent was here before: pods run, and nothing restricts them until the first world is known.
    pub(super) install: bool,
    /// The newest sighting that bindings were made from.
    pub(super) looked: Option<Arc<Sighting>>,
    pub(super) enforced: Option<Arc<Enforced>>,
    pub(super) publication: Option<Publication>,
    pub(super) drift_repaired: u64,
    pub(super) error: Option<String>,
    pub(super) status: Sender<Arc<Status>>,
    pub(super) timings: Timings,
    pub(super) clock: Clock,
}

impl Node {
    /// Enforces until `stop` is ready. What is attached then stays attached. It blocks its thread while it works.
    ///
    /// # Errors
    /// A source has ended.
    pub async fn run<C: Cluster>(mut self, mut inputs: Inputs<C>, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::pin!(stop);
        loop {
            self.turn(&mut inputs);
            tokio::select! {
                () = &mut stop => return Ok(()),
                changed = inputs.snapshots.changed() => changed.context("nobody follows the cluster any more")?,
                changed = inputs.sightings.changed() => changed.context("nobody looks for pods any more")?,
                () = tokio::time::sleep_until(self.clock.next().into()) => {}
            }
        }
    }

    /// Does all that there is to do now. What fails is said in the status and tried again.
    fn turn<C: Cluster>(&mut self, inputs: &mut Inputs<C>) {
        let snapshot = inputs.snapshots.borrow_and_update().clone();
        let sighting = inputs.sightings.borrow_and_update().clone();
        // In a world without this node no pod is here, and all that run would drop.
        let usable = snapshot.as_ref().filter(|snapshot| snapshot.world.nodes.contains_key(&self.options.node));
        if self.is_news(usable, &sighting) || self.clock.is_retry_due() {
            let enforced = self.enforce(usable, &sighting);
            self.conclude(enforced);
            // A compile has two threads.
            let compile = self.publication.as_ref().map_or(Duration::ZERO, |publication| publication.compile);
            inputs.cluster.worked(2 * compile);
        }
        let done = self.chores();
        if done.is_err() {
            self.conclude(done);
        }
        self.tell(inputs.cluster.as_ref(), snapshot.as_deref());
    }

    fn conclude(&mut self, result: Result<()>) {
        self.error = result.err().map(|error| format!("{error:#}"));
        match &self.error {
            Some(error) => {
                error!("{error}");
                self.clock.failed();
            }
            None => self.clock.succeeded(),
        }
    }

    fn is_news(&self, snapshot: Option<&Arc<Snapshot>>, sighting: &Arc<Sighting>) -> bool {
        let seen = self.looked.as_ref().is_some_and(|looked| Arc::ptr_eq(looked, sighting));
        !seen || snapshot.is_some_and(|snapshot| !self.is_enforced(snapshot))
    }

    fn is_enforced(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.enforced.as_ref().is_some_and(|enforced| Arc::ptr_eq(&enforced.snapshot, snapshot))
    }

    fn enforce(&mut self, snapshot: Option<&Arc<Snapshot>>, sighting: &Arc<Sighting>) -> Result<()> {
        if self.install && snapshot.is_none() {
            return Ok(());
        }
        let ranges = self.look(snapshot.map(|snapshot| &snapshot.world), sighting)?;
        // Without a world nothing better is to be had than a veth that drops.
        let first = if snapshot.is_some() { Which::Newcomers } else { Which::All };
        let mut whole = self.veths.attach(&mut self.datapath, first);
        // Numbers must not be given out again once they are in the maps.
        self.remember(ranges)?;
        match snapshot {
            Some(snapshot) => whole &= self.follow(snapshot, sighting)?,
            None => self.hold(sighting)?,
        }
        self.veths.forget(&mut self.datapath, &sighting.listing)?;
        ensure!(whole, "some veths have not got their programs: `bulkhead endpoints` says why");
        Ok(())
    }

    /// Makes a world the one that is enforced. False where a veth has not got its programs.
    fn follow(&mut self, snapshot: &Arc<Snapshot>, sighting: &Sighting) -> Result<bool> {
        self.publish(snapshot, sighting)?;
        self.swap()?;
        let whole = self.veths.attach(&mut self.datapath, Which::All);
        for delay in self.veths.enforced() {
            self.timings.attach_delay.observe(delay.as_secs_f64());
        }
        Ok(whole)
    }

    /// Without a world: what is enforced stays, and what is new gets the default verdict.
    fn hold(&mut self, sighting: &Sighting) -> Result<()> {
        if self.swap_later {
            return Ok(());
        }
        let node = self.veths.view(&self.options.node, sighting);
        self.publisher.hold(&mut self.datapath.maps, &node, &self.options.settings.policy)
    }

    /// Binds what is there now, and returns the pod ranges that it went by.
    fn look(&mut self, world: Option<&World>, sighting: &Arc<Sighting>) -> Result<Vec<IpNet>> {
        let ranges = match world {
            Some(world) => world.pod_ranges(&self.options.settings.policy),
            None => self.memory.ranges.clone(),
        };
        self.veths.look(&Look {
            sighting,
            world,
            node: &self.options.node,
            ranges: &ranges,
            slots: u32::try_from(self.datapath.maps.capacities()?.endpoints).unwrap_or(u32::MAX),
            now: Timestamp::now(),
            // Later starts find their flows in the maps: a veth that is new then has no connections to adopt.
            adopt_until: if self.install && self.looked.is_none() { adoption_end()? } else { 0 },
            bar_further: self.options.settings.bar_further,
        });
        self.looked = Some(Arc::clone(sighting));
        Ok(ranges)
    }

    fn remember(&mut self, ranges: Vec<IpNet>) -> Result<()> {
        let memory = Memory { ranges, bindings: self.veths.bindings.clone() };
        if memory != self.memory {
            self.folder.save(&memory)?;
            self.memory = memory;
        }
        Ok(())
    }

    fn publish(&mut self, snapshot: &Arc<Snapshot>, sighting: &Sighting) -> Result<()> {
        let node = self.veths.view(&self.options.node, sighting);
        let is_new = !self.is_enforced(snapshot);
        if !is_new && self.enforced.as_ref().is_some_and(|enforced| enforced.node == node) {
            return Ok(());
        }
        let input = Input { world: &snapshot.world, config: &self.options.settings.policy, node: &node };
        let published = self.publisher.publish(&mut self.datapath.maps, &input)?;
        self.clock.changed();
        self.measure(published, is_new.then(|| snapshot.received.elapsed()));
        let compiled = self.publisher.compiled().cloned().unwrap_or_default();
        let known = self.enforced.iter().flat_map(|enforced| &enforced.compiled.excesses).collect::<Vec<_>>();
        for excess in compiled.excesses.iter().filter(|excess| !known.contains(excess)) {
            warn!("{excess}");
        }
        self.enforced = Some(Arc::new(Enforced { snapshot: Arc::clone(snapshot), node, compiled }));
        self.install = false;
        Ok(())
    }

    /// Now that the maps are filled, their programs take the place of those of another version.
    fn swap(&mut self) -> Result<()> {
        if self.swap_later {
            self.datapath.upgrade()?;
            self.veths.doubt();
            self.swap_later = false;
        }
        Ok(())
    }

    fn measure(&mut self, published: Published, delay: Option<Duration>) {
        let Published { operations, compile, apply } = published;
        self.timings.compile.observe(compile.as_secs_f64());
        self.timings.apply.observe(apply.as_secs_f64());
        if let Some(delay) = delay {
            self.timings.policy_implementation_delay.observe(delay.as_secs_f64());
        }
        self.publication = Some(Publication { at: Timestamp::now(), operations, compile, apply, delay });
    }

    /// What is done from time to time.
    fn chores(&mut self) -> Result<()> {
        let maps = &mut self.datapath.maps;
        self.clock.clean = self.publisher.clean(maps)?;
        if self.clock.is_trim_due() {
            // Two worlds were in memory at once.
            malloc::trim();
        }
        if self.clock.sweep.is_due() {
            maps.sweep_flows(now_ticks()?)?;
        }
        if self.clock.verify.is_due() {
            let repaired = self.publisher.verify(maps)? + usize::from(self.datapath.restore_after_dnat()?);
            if repaired != 0 {
                warn!("{repaired} records in the maps were not what this agent wrote, and have been repaired");
                self.drift_repaired += repaired as u64;
            }
            self.veths.doubt();
            self.veths.attach(&mut self.datapath, Which::All);
        }
        Ok(())
    }
}
