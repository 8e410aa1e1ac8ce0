//! What somebody should know about the veths of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use policy::model::PodKey;

use super::bind::{Bindings, Bound, Surroundings};
use super::cni::CniResult;
use super::listing::{Behind, Veth};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Two veths have the same address, and no CNI result tells whose it is.
    Claimed { address: IpAddr, veths: Vec<String> },
    /// A further interface of a pod: nothing is enforced on it.
    Further { veth: String, pod: Option<PodKey>, addresses: Vec<IpAddr> },
    /// A veth that leads to where a pod is, and that no CNI result of that pod names: a pod that may make interfaces in
    /// its node's namespace makes one to go around its own.
    Uninvited { ifindex: u32, veth: String, pod: Option<PodKey>, addresses: Vec<IpAddr> },
    /// A veth without an address in a pod range: left alone.
    Foreign { veth: String, addresses: Vec<IpAddr> },
    /// There are more pods than the maps have room for.
    NoRoom { ifindex: u32, veth: String, why: String },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed { address, veths } => {
                write!(f, "{address} is behind several veths ({}): those whose pod is not known drop", veths.join(", "))
            }
            Self::Further { veth, pod, addresses } => {
                write!(
                    f,
                    "{veth} is a further interface of {}{}: nothing is enforced on it",
                    name(pod),
                    list(addresses)
                )
            }
            Self::Uninvited { veth, pod, addresses, .. } => write!(
                f,
                "{veth} leads into the network namespace of {}{}, no CNI result names it, and it drops everything: take \
                 NET_ADMIN from that pod; or set endpoints.further to allow, where a CNI that keeps no results made it",
                name(pod),
                list(addresses)
            ),
            Self::Foreign { veth, addresses } => {
                write!(f, "{veth}{} has no address in a pod range and is left alone", list(addresses))
            }
            Self::NoRoom { veth, why, .. } => {
                write!(f, "{veth} gets no endpoint and drops everything: {why}, raise maps.endpoints")
            }
        }
    }
}

fn name(pod: &Option<PodKey>) -> String {
    pod.as_ref().map_or_else(|| "a pod that is not known yet".to_owned(), ToString::to_string)
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!(" ({})", addresses.join(", "))
}

/// What is said of veths that are nobody's endpoint, and are not to be one: those in `open` are.
pub(super) fn findings(
    bindings: &Bindings,
    open: &BTreeMap<u32, Vec<IpAddr>>,
    around: &Surroundings<'_>,
) -> Vec<Finding> {
    let veths = &around.listing.veths;
    let of_netns = |bound: &'_ Bound| bound.netns.iter().map(|netns| (*netns, bound.pod.clone())).collect::<Vec<_>>();
    let pods: BTreeMap<i32, Option<PodKey>> = bindings.bound.values().flat_map(of_netns).collect();
    let pods_bridges: BTreeSet<u32> = bindings.bound.keys().filter_map(|ifindex| veths.get(ifindex)?.bridge).collect();
    let is_endpoint = |ifindex| bindings.bound.contains_key(ifindex) || open.contains_key(ifindex);
    let others = veths.iter().filter(|(ifindex, _)| !is_endpoint(ifindex));
    let others = others.filter_map(|(ifindex, veth)| Some((*ifindex, veth, veth.behind.as_ref()?)));
    let describe = |ifindex: u32, veth: &Veth, behind: &Behind| {
        let (name, addresses) = (veth.name.clone(), veth.addresses());
        let pod = pods.get(&behind.netns);
        let is_near = pod.is_some() || veth.bridge.is_some_and(|bridge| pods_bridges.contains(&bridge));
        let pod = pod.cloned().flatten();
        if is_near && around.bar_further && !is_invited(&name, pod.as_ref(), around) {
            return Finding::Uninvited { ifindex, veth: name, pod, addresses };
        }
        if is_near {
            Finding::Further { veth: name, pod, addresses }
        } else {
            Finding::Foreign { veth: name, addresses }
        }
    };
    others.map(|(ifindex, veth, behind)| describe(ifindex, veth, behind)).collect()
}

/// True where a CNI plugin has answered that it made this veth, for this pod.
fn is_invited(veth: &str, pod: Option<&PodKey>, around: &Surroundings<'_>) -> bool {
    let names = |result: &&CniResult| result.veths.iter().any(|name| name == veth);
    around.results.iter().filter(names).any(|result| pod.is_none_or(|pod| result.pod == *pod))
}
