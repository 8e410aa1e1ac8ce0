//! Services to words: where each address and port leads, as kinds of backends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::abi::{Address, Lead, PeerKind, ServiceKey};
use ipnet::IpNet;

use super::behind::{Behind, Ends};
use super::budget::{Excess, Resource};
use super::delegates::{Callers, Group};
use super::hash::HashMap;
use super::meter::Meter;
use super::numbering::Numbering;
use super::rewrites::{Called, Claim, Owner, Rewrites};
use super::shares::{self, Shares};
use super::{CompileError, Input, Tables};
use crate::model::{ObjectRef, Pod};

/// By what is called, whose names it is.
pub(super) type Names = BTreeMap<ServiceKey, Vec<ObjectRef>>;

/// Fills the tables of Services. All others are filled.
pub(super) struct Services<'a, 'm> {
    pub(super) input: Input<'a>,
    pub(super) with_host_ports: &'a [&'a Pod],
    pub(super) meter: &'m Meter<'a>,
    pub(super) shares: &'m mut Shares,
}

/// The backends of some doors for a protocol.
type Asked = (Vec<u32>, u8);

impl Services<'_, '_> {
    pub(super) fn fill(
        &mut self,
        callers: &Callers,
        numbering: &mut Numbering<'_>,
        tables: &mut Tables,
    ) -> Result<Names, CompileError> {
        let kind_of = |address| tables.peer_of(address).kind();
        let rewrites = Rewrites::of(&self.input, self.with_host_ports, self.shares, kind_of);
        let asked = |called: &Called, key: &ServiceKey| (called.doors.clone(), key.port.protocol());
        let distinct: BTreeMap<Asked, u32> =
            rewrites.called.iter().map(|(key, called)| (asked(called, key), called.payer)).collect();
        let found = self.behind(&rewrites, distinct, tables);
        let mut numbers: HashMap<Asked, u32> = HashMap::default();
        let mut groups = BTreeMap::new();
        for ((doors, protocol), payer, behind) in found {
            let number = numbering.backends(&(protocol, &behind))?;
            tables.backends.insert(number, behind.record());
            if behind.kinds.len() > 1 {
                groups.entry(number).or_insert(Group { payer, protocol, kinds: behind.kinds });
            }
            numbers.insert((doors, protocol), number);
        }
        self.add_delegates(&rewrites, callers, &groups, tables);
        let mut names = Names::new();
        for (key, called) in &rewrites.called {
            let lead = Lead::new(numbers.get(&asked(called, key)).copied().unwrap_or_default());
            if called.claim == Claim::Chosen {
                tables.services.insert(*key, lead.chosen());
                claim_pod(key.address, tables);
            } else {
                tables.services.insert(*key, lead);
            }
            let owners = called.doors.iter().filter_map(|&door| self.owner(&rewrites, door));
            let of_doors: BTreeSet<ObjectRef> = owners.map(|owner| owner.name()).collect();
            names.insert(*key, of_doors.into_iter().collect());
        }
        close(&rewrites.closed, tables);
        Ok(names)
    }

    /// All that is behind the doors that are asked for, as far as their owners' work allows: each pays for its own.
    fn behind(
        &mut self,
        rewrites: &Rewrites<'_>,
        asked: BTreeMap<Asked, u32>,
        tables: &Tables,
    ) -> Vec<(Asked, u32, Behind)> {
        let mut ends = Ends::new(tables, rewrites);
        let mut spent: HashMap<shares::Payer, usize> = HashMap::default();
        let mut found = Vec::with_capacity(asked.len());
        for ((indices, protocol), payer) in asked {
            let mut behind = Some(Behind::default());
            for door in indices.iter().filter_map(|&door| rewrites.doors.get(door as usize)) {
                let spent = spent.entry(self.payer(door.owner)).or_default();
                if *spent > self.meter.budget.work / WORK_OF_END {
                    self.tell(door.owner, Resource::Work, self.meter.budget.work);
                    behind = None;
                    break;
                }
                let before = ends.work;
                behind = behind.and_then(|behind| ends.add(behind, door, protocol));
                *spent += ends.work - before;
            }
            let known = behind.filter(|behind| !behind.kinds.is_empty());
            found.extend(known.map(|behind| ((indices, protocol), payer, behind)));
        }
        found
    }

    /// Whoever is asked for backends of several kinds, as far as there is room: owner by owner, the one that takes most
    /// goes without first.
    fn add_delegates(
        &mut self,
        rewrites: &Rewrites<'_>,
        callers: &Callers,
        groups: &BTreeMap<u32, Group>,
        tables: &mut Tables,
    ) {
        let claims: Vec<(shares::Payer, usize)> = groups
            .values()
            .map(|group| {
                let payer = self.owner(rewrites, group.payer).and_then(|owner| self.payer(owner));
                (payer, callers.count() * (1 + group.kinds.len() / KINDS_OF_ROW))
            })
            .collect();
        let cut = shares::cut(&claims, self.meter.budget.services);
        let needed = claims.iter().map(|(_, cost)| cost).sum();
        for (index, (number, group)) in groups.iter().enumerate() {
            if !cut.get(index).copied().unwrap_or_default() {
                callers.add(tables, *number, group);
            } else if let Some(owner) = self.owner(rewrites, group.payer) {
                self.tell(owner, Resource::Delegates, needed);
            }
        }
    }

    fn owner<'w>(&self, rewrites: &Rewrites<'w>, door: u32) -> Option<Owner<'w>> {
        rewrites.doors.get(door as usize).map(|door| door.owner)
    }

    fn payer(&self, owner: Owner<'_>) -> shares::Payer {
        self.meter.owners.get(owner.namespace()).copied()
    }

    /// Tells a namespace once of each kind.
    fn tell(&mut self, owner: Owner<'_>, of: Resource, needed: usize) {
        let namespace = owner.namespace();
        let told = self.shares.excesses.iter_mut().find(|it| it.of == of && it.namespace == namespace);
        match told.and_then(|it| it.about.as_mut()) {
            Some((_, objects)) => *objects += 1,
            None => {
                let about = Some((owner.name(), 1));
                self.shares.excesses.push(Excess { about, ..self.meter.excess(namespace, of, needed) });
            }
        }
    }
}

/// Steps of [`Budget::work`](super::Budget::work) that an end takes.
const WORK_OF_END: usize = 10;

/// Kinds that are judged for each caller in the time that is worth a row.
const KINDS_OF_ROW: usize = 8;

/// Whoever calls these calls nobody knows whom. As a sender such an address is what it was.
fn close(addresses: &BTreeSet<IpAddr>, tables: &mut Tables) {
    for &address in addresses {
        let word = tables.peer_of(address);
        if word.kind() == PeerKind::External {
            tables.peers.insert(Address::from(address), word.with_kind(PeerKind::Service));
        }
        claim_pod(address.into(), tables);
    }
}

/// At a pod's address Services are looked up where it is claimed.
fn claim_pod(address: Address, tables: &mut Tables) {
    if let Some(word) = tables.peers.get_mut(&address)
        && word.hides_services()
    {
        *word = word.claimed();
    }
}

/// The addresses that Services may have: configured, or as ServiceCIDR objects say, or what all ClusterIPs lie in.
pub(super) fn ranges(input: &Input<'_>) -> Vec<IpNet> {
    let Input { world, config, .. } = input;
    if !config.service_cidrs.is_empty() {
        return config.service_cidrs.iter().map(IpNet::trunc).collect();
    }
    let written: Vec<IpNet> = world.service_cidrs.values().flatten().copied().collect();
    if !written.is_empty() {
        return written;
    }
    let seen = || world.services.values().flat_map(|service| &service.cluster_ips).copied();
    [true, false].into_iter().filter_map(|v4| around(seen().filter(|address| address.is_ipv4() == v4))).collect()
}

/// The smallest range that holds all of these addresses of one family.
fn around(addresses: impl Iterator<Item = IpAddr>) -> Option<IpNet> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut differ = 0;
    let mut first: Option<IpAddr> = None;
    for address in addresses {
        differ |= bits(address) ^ bits(*first.get_or_insert(address));
    }
    let first = first?;
    let host_bits = u128::BITS - differ.leading_zeros();
    let length = if first.is_ipv4() { 32 } else { 128 };
    let prefix = u8::try_from(length - host_bits).ok()?;
    IpNet::new(first, prefix).ok().map(|range| range.trunc())
}
