//! From what was found to who is behind each veth: a pure function.
//!
//! A pod may hold NET_ADMIN and choose the addresses inside its namespace, so those only say where to look: a veth is
//! bound once, by the first addresses seen on it, and keeps what it was bound to for as long as it is there. The
//! kernel gives an interface index once, so that is what a veth is known by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::abi::Ticks;
use ipnet::IpNet;
use jiff::Timestamp;
use policy::compile::Binding;
use policy::model::{PodKey, World};
use serde::{Deserialize, Serialize};

use super::cni::CniResult;
use super::finding::{Finding, findings};
use super::listing::{Listing, Veth};
use crate::endpoint_ids::EndpointIds;

/// All veths that are pods', by interface index. It is kept in a file, because it must survive the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindings {
    pub ids: EndpointIds,
    pub bound: BTreeMap<u32, Bound>,
}

/// A veth with an address in a pod range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub slot: u32,
    pub id: u32,
    pub veth: String,
    pub mac: [u8; 6],
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// `None`: not known yet, or not to be told.
    pub pod: Option<PodKey>,
    /// When the veth was first seen.
    pub since: Timestamp,
    pub adopt_until: Ticks,
    /// The network namespaces that its far end has been in, by this one's numbers: a pod may move it.
    #[serde(default)]
    pub netns: BTreeSet<i32>,
}

/// What a binding is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub listing: &'a Listing,
    pub results: &'a [CniResult],
    /// `None`: not known yet.
    pub world: Option<&'a World>,
    /// The name of this node.
    pub node: &'a str,
    /// Where pods' addresses come from.
    pub ranges: &'a [IpNet],
    pub now: Timestamp,
    /// The end of the adoption window of veths that are new here.
    pub adopt_until: Ticks,
    /// How many endpoints the maps have room for.
    pub slots: u32,
    /// A pod's further veths that no CNI result names drop.
    pub bar_further: bool,
}

impl Bindings {
    /// What the compiler has to know of each.
    pub fn endpoints(&self) -> impl Iterator<Item = Binding> {
        self.bound.iter().map(|(&ifindex, bound)| Binding {
            slot: bound.slot,
            id: bound.id,
            ifindex,
            mac: bound.mac,
            addresses: bound.addresses.clone(),
            pod: bound.pod.clone(),
            adopt_until: bound.adopt_until,
        })
    }

    fn slots(&self) -> BTreeSet<u32> {
        self.bound.values().map(|bound| bound.slot).collect()
    }
}

/// Forgets veths that are gone, takes in new ones, and gives those without a pod theirs where that can be told.
#[must_use]
pub fn bind(previous: &Bindings, around: &Surroundings<'_>) -> (Bindings, Vec<Finding>) {
    let mut next = previous.clone();
    next.bound.retain(|ifindex, bound| {
        // Only the node can rename a veth's near end.
        let veth = around.listing.veths.get(ifindex);
        veth.inspect(|veth| bound.veth.clone_from(&veth.name)).is_some()
    });
    let claims = Claims::of(&next, around);
    let mut found = claims.conflicts(around.listing);
    for (&ifindex, seen) in &claims.open {
        let bound = next.bound.get(&ifindex);
        let Some(identity) = claims.identity(ifindex, seen, bound, around) else { continue };
        if let Err(finding) = settle(&mut next, ifindex, identity, around) {
            found.push(finding);
        }
    }
    for (ifindex, bound) in &mut next.bound {
        let behind = around.listing.veths.get(ifindex).and_then(|veth| veth.behind.as_ref());
        bound.netns.extend(behind.map(|behind| behind.netns));
    }
    found.extend(findings(&next, &claims.open, around));
    (next, found)
}

/// What is known of a veth: whose it is, or (without a pod) only that it is somebody's.
struct Identity {
    pod: Option<PodKey>,
    mac: [u8; 6],
    addresses: Vec<IpAddr>,
}

/// Other addresses make another endpoint: a record in the kernel keeps those that it was written with.
fn settle(next: &mut Bindings, ifindex: u32, identity: Identity, around: &Surroundings<'_>) -> Result<(), Finding> {
    let Identity { pod, mac, addresses } = identity;
    if let Some(bound) = next.bound.get_mut(&ifindex)
        && (bound.mac, &bound.addresses) == (mac, &addresses)
    {
        bound.pod = pod;
        return Ok(());
    }
    let veth = around.listing.veths.get(&ifindex).map(|veth| veth.name.clone()).unwrap_or_default();
    let taken = next.ids.take(&next.slots(), around.slots);
    let (id, slot) = taken.map_err(|error| Finding::NoRoom { ifindex, veth: veth.clone(), why: error.to_string() })?;
    let (since, adopt_until, netns) = match next.bound.get(&ifindex) {
        Some(bound) => (bound.since, bound.adopt_until, bound.netns.clone()),
        None => (around.now, around.adopt_until, BTreeSet::new()),
    };
    next.bound.insert(ifindex, Bound { slot, id, veth, mac, addresses, pod, since, adopt_until, netns });
    Ok(())
}

/// Who says that an address is theirs.
struct Claims<'a> {
    /// Veths without a pod: the first addresses seen on each.
    open: BTreeMap<u32, Vec<IpAddr>>,
    /// Veths by address.
    veths: BTreeMap<IpAddr, BTreeSet<u32>>,
    /// Pods of this node by address.
    pods: BTreeMap<IpAddr, BTreeSet<&'a PodKey>>,
}

impl<'a> Claims<'a> {
    fn of(bindings: &Bindings, around: &Surroundings<'a>) -> Self {
        let mut claims = Self { open: BTreeMap::new(), veths: BTreeMap::new(), pods: BTreeMap::new() };
        for (&ifindex, veth) in &around.listing.veths {
            let addresses = match bindings.bound.get(&ifindex) {
                Some(bound) => bound.addresses.clone(),
                None => in_ranges(veth, around.ranges),
            };
            for address in &addresses {
                claims.veths.entry(*address).or_default().insert(ifindex);
            }
            let is_open = bindings.bound.get(&ifindex).is_none_or(|bound| bound.pod.is_none());
            if is_open && !addresses.is_empty() {
                claims.open.insert(ifindex, addresses);
            }
        }
        let pods = around.world.into_iter().flat_map(|world| &world.pods);
        for (key, pod) in pods.filter(|(_, pod)| pod.node == around.node && !pod.host_network) {
            for address in &pod.addresses {
                claims.pods.entry(*address).or_default().insert(key);
            }
        }
        claims
    }

    /// Addresses that several veths claim, one of them without a pod.
    fn conflicts(&self, listing: &Listing) -> Vec<Finding> {
        let several = self.veths.iter().filter(|(_, veths)| veths.len() > 1);
        let open = several.filter(|(_, veths)| veths.iter().any(|ifindex| self.open.contains_key(ifindex)));
        let name = |ifindex| listing.veths.get(ifindex).map(|veth| veth.name.clone());
        open.map(|(address, veths)| Finding::Claimed {
            address: *address,
            veths: veths.iter().filter_map(name).collect(),
        })
        .collect()
    }

    fn identity(
        &self,
        ifindex: u32,
        seen: &[IpAddr],
        bound: Option<&Bound>,
        around: &Surroundings<'_>,
    ) -> Option<Identity> {
        let veth = around.listing.veths.get(&ifindex)?;
        let mac = bound.map(|bound| bound.mac).or(veth.behind.as_ref().map(|behind| behind.mac))?;
        if let Some(result) = named(&veth.name, seen, around.results) {
            return Some(Identity {
                pod: Some(result.pod.clone()),
                mac: result.mac.unwrap_or(mac),
                addresses: one_of_each_family(result.addresses.iter().copied()),
            });
        }
        let pod = self.owner(seen, around.results);
        let own = pod.as_ref().and_then(|key| Some(&around.world?.pods.get(key)?.addresses));
        let addresses = own.filter(|own| !own.is_empty()).cloned().unwrap_or_else(|| seen.to_vec());
        Some(Identity { pod, mac, addresses })
    }

    /// The one pod that has these addresses, where nobody else claims any of them.
    fn owner(&self, seen: &[IpAddr], results: &[CniResult]) -> Option<PodKey> {
        if seen.iter().any(|address| self.veths.get(address).is_some_and(|veths| veths.len() > 1)) {
            return None;
        }
        let mut owners: BTreeSet<&PodKey> =
            seen.iter().filter_map(|address| self.pods.get(address)).flatten().copied().collect();
        if owners.is_empty() {
            let about = |result: &&CniResult| result.addresses.iter().any(|address| seen.contains(address));
            owners = results.iter().filter(about).map(|result| &result.pod).collect();
        }
        if owners.len() == 1 { owners.pop_first().cloned() } else { None }
    }
}

/// The result that names a veth, where all that do agree. One that is about none of the addresses is left over from
/// another pod, whose veth had this name before.
fn named<'a>(veth: &str, seen: &[IpAddr], results: &'a [CniResult]) -> Option<&'a CniResult> {
    let names = |result: &&CniResult| result.veths.iter().any(|name| name == veth);
    let is_about = |result: &&CniResult| result.addresses.iter().any(|address| seen.contains(address));
    let mut naming = results.iter().filter(names).filter(is_about);
    let first = naming.next()?;
    naming.all(|other| other == first).then_some(first)
}

/// The first of the addresses behind a veth that are a pod's.
fn in_ranges(veth: &Veth, ranges: &[IpNet]) -> Vec<IpAddr> {
    let addresses = veth.behind.iter().flat_map(|behind| &behind.addresses).copied();
    one_of_each_family(addresses.filter(|address| ranges.iter().any(|range| range.contains(address))))
}

fn one_of_each_family(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut first: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !first.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            first.push(address);
        }
    }
    first
}

#[cfg(test)]
#[path = "bind/tests.rs"]
mod tests;
