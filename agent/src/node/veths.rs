//! Veths from the first sight of them until they are gone: bound, and with both programs on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use common::abi::Ticks;
use ipnet::IpNet;
use jiff::Timestamp;
use nix::net::if_::if_nametoindex;
use policy::compile::NodeView;
use policy::model::World;
use tracing::{debug, info, warn};

use crate::discover::{Bindings, Finding, Listing, Sighting, Surroundings, bind};
use crate::kernel::Datapath;

/// The veths of this node, and how far each is.
#[derive(Debug, Default)]
pub(super) struct Veths {
    pub(super) bindings: Bindings,
    pub(super) findings: Vec<Finding>,
    progress: BTreeMap<u32, Progress>,
}

/// How far a bound veth is.
#[derive(Clone, Debug, Default)]
struct Progress {
    attached: bool,
    /// When it was seen, where nothing was on it then and it is not enforced yet.
    waiting: Option<Instant>,
    /// From then to both programs on it, which is how long it was unprotected.
    unprotected: Option<Duration>,
    delay: Option<Duration>,
    problem: Option<String>,
}

/// Which veths get their programs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those whose pods start under this agent: they drop until they are in the maps.
    Newcomers,
    /// Also those whose pods ran before: they should be in the maps by now, so that no connection breaks.
    All,
}

/// What a look at the node was made with.
pub(super) struct Look<'a> {
    pub sighting: &'a Sighting,
    pub world: Option<&'a World>,
    pub node: &'a str,
    pub ranges: &'a [IpNet],
    pub slots: u32,
    pub now: Timestamp,
    /// As in [`Surroundings`].
    pub adopt_until: Ticks,
    /// As in [`Surroundings`].
    pub bar_further: bool,
}

impl Veths {
    pub(super) fn new(bindings: Bindings) -> Self {
        Self { bindings, ..Self::default() }
    }

    /// Binds what is there now. True where a binding has changed.
    pub(super) fn look(&mut self, look: &Look<'_>) -> bool {
        let around = Surroundings {
            listing: &look.sighting.listing,
            results: &look.sighting.results,
            world: look.world,
            node: look.node,
            ranges: look.ranges,
            now: look.now,
            adopt_until: look.adopt_until,
            slots: look.slots,
            bar_further: look.bar_further,
        };
        let (bindings, findings) = bind(&self.bindings, &around);
        for finding in findings.iter().filter(|finding| !self.findings.contains(finding)) {
            // For a moment a veth is foreign, or without a result: until it has its address, or its plugin has answered.
            debug!("{finding}");
        }
        self.findings = findings;
        for (ifindex, _) in bindings.bound.iter().filter(|(ifindex, _)| !self.bindings.bound.contains_key(ifindex)) {
            let seen = look.sighting.seen.get(ifindex).copied().unwrap_or(look.sighting.at);
            self.progress.insert(*ifindex, Progress { waiting: Some(seen), ..Progress::default() });
        }
        let changed = bindings != self.bindings;
        self.bindings = bindings;
        changed
    }

    /// What the compiler has to know of this node.
    pub(super) fn view(&self, node: &str, sighting: &Sighting) -> NodeView {
        let listing = &sighting.listing;
        let ports = self.bindings.bound.keys().filter_map(|ifindex| listing.veths.get(ifindex)?.bridge);
        NodeView {
            name: node.to_owned(),
            addresses: listing.addresses.clone(),
            tunnel_ports: listing.tunnel_ports.clone(),
            bridges: ports.collect::<BTreeSet<u32>>(),
            endpoints: self.bindings.endpoints().collect(),
        }
    }

    /// Puts this agent's programs on veths that have none of them yet. Returns whether all of that worked.
    pub(super) fn attach(&mut self, datapath: &mut Datapath, which: Which) -> bool {
        let mut whole = true;
        let bound = self.bindings.bound.iter().map(|(&ifindex, bound)| (ifindex, &bound.veth, bound.adopt_until != 0));
        let barred = self.barred().map(|(ifindex, veth)| (ifindex, veth, false));
        let veths: Vec<_> = bound.chain(barred).map(|(ifindex, veth, runs)| (ifindex, veth.clone(), runs)).collect();
        for (ifindex, veth, runs) in veths {
            let progress = self.progress.entry(ifindex).or_default();
            if progress.attached || (runs && which == Which::Newcomers) {
                continue;
            }
            let attached = datapath.attach(ifindex, &veth);
            if attached.is_err() && if_nametoindex(veth.as_str()).is_err() {
                // It has gone away since it was listed: the next sighting will not have it.
                continue;
            }
            progress.attached = attached.is_ok();
            progress.unprotected = progress.waiting.map(|seen| seen.elapsed()).or(progress.unprotected);
            progress.problem = attached.err().map(|error| format!("{error:#}"));
            if let Some(problem) = &progress.problem {
                warn!("{problem}");
                whole = false;
            }
        }
        whole
    }

    /// Veths that have no endpoint and drop everything: there is no room for them in the maps, or nobody but a pod made
    /// them.
    pub(super) fn barred(&self) -> impl Iterator<Item = (u32, &String)> {
        self.findings.iter().filter_map(|finding| match finding {
            Finding::NoRoom { ifindex, veth, .. } | Finding::Uninvited { ifindex, veth, .. } => Some((*ifindex, veth)),
            Finding::Claimed { .. } | Finding::Further { .. } | Finding::Foreign { .. } => None,
        })
    }

    /// Takes away what is left of veths that are gone, and lets go of those that were barred and are not any more: their
    /// plugin has answered.
    pub(super) fn forget(&mut self, datapath: &mut Datapath, listing: &Listing) -> Result<()> {
        let is_there = |ifindex: &u32| listing.veths.contains_key(ifindex);
        let barred: BTreeSet<u32> = self.barred().map(|(ifindex, _)| ifindex).collect();
        let is_wanted = |ifindex: &u32| barred.contains(ifindex) || self.bindings.bound.contains_key(ifindex);
        let attached = datapath.attached()?;
        for ifindex in attached.into_iter().filter(|ifindex| !(is_there(ifindex) && is_wanted(ifindex))) {
            datapath.detach(ifindex)?;
            self.progress.remove(&ifindex);
        }
        self.progress.retain(|ifindex, _| is_there(ifindex));
        Ok(())
    }

    /// Everything that is attached is in the maps now: returns how long each took that was not before.
    pub(super) fn enforced(&mut self) -> Vec<Duration> {
        let mut delays = Vec::new();
        for (ifindex, bound) in &self.bindings.bound {
            let Some(progress) = self.progress.get_mut(ifindex).filter(|progress| progress.attached) else { continue };
            let Some(seen) = progress.waiting.take() else { continue };
            let delay = seen.elapsed();
            progress.delay = Some(delay);
            delays.push(delay);
            let pod = bound.pod.as_ref().map_or_else(|| "a pod that is not known yet".to_owned(), ToString::to_string);
            let unprotected_ms = progress.unprotected.unwrap_or_default().as_millis();
            info!(veth = bound.veth, %pod, unprotected_ms, delay_ms = delay.as_millis(), "enforced");
        }
        delays
    }

    /// Veths that keep for now the programs that they have.
    pub(super) fn leave(&mut self, attached: &BTreeSet<u32>) {
        let kept = attached.iter().map(|&ifindex| (ifindex, Progress { attached: true, ..Progress::default() }));
        self.progress.extend(kept);
    }

    /// Looks again at every hook, the next time.
    pub(super) fn doubt(&mut self) {
        self.progress.values_mut().for_each(|progress| progress.attached = false);
    }

    pub(super) fn is_attached(&self, ifindex: u32) -> bool {
        self.progress.get(&ifindex).is_some_and(|progress| progress.attached)
    }

    pub(super) fn delay(&self, ifindex: u32) -> Option<Duration> {
        self.progress.get(&ifindex)?.delay
    }

    pub(super) fn problem(&self, ifindex: u32) -> Option<String> {
        self.progress.get(&ifindex)?.problem.clone()
    }
}
