//! What somebody should know about the veths of a node.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use policy::model::PodKey;

use super::bind::{Bindings, Surroundings};
use super::listing::{Behind, Veth};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Two veths have the same address, and no CNI result tells whose it is.
    Claimed { address: IpAddr, veths: Vec<String> },
    /// A further interface of a pod: nothing is enforced on it.
    Further { veth: String, pod: Option<PodKey>, addresses: Vec<IpAddr> },
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
                let pod = pod.as_ref().map_or_else(|| "a pod that is not known yet".to_owned(), ToString::to_string);
                write!(f, "{veth} is a further interface of {pod}{}: nothing is enforced on it", list(addresses))
            }
            Self::Foreign { veth, addresses } => {
                write!(f, "{veth}{} has no address in a pod range and is left alone", list(addresses))
            }
            Self::NoRoom { veth, why, .. } => {
                write!(f, "{veth} gets no endpoint and drops everything: {why}, raise maps.endpoints")
            }
        }
    }
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
    let netns = |ifindex| Some(veths.get(ifindex)?.behind.as_ref()?.netns);
    let pods: BTreeMap<i32, &Option<PodKey>> =
        bindings.bound.iter().filter_map(|(ifindex, bound)| Some((netns(ifindex)?, &bound.pod))).collect();
    let is_endpoint = |ifindex| bindings.bound.contains_key(ifindex) || open.contains_key(ifindex);
    let others = veths.iter().filter(|(ifindex, _)| !is_endpoint(ifindex));
    let others = others.filter_map(|(_, veth)| Some((veth, veth.behind.as_ref()?)));
    let describe = |veth: &Veth, behind: &Behind| {
        let (name, addresses) = (veth.name.clone(), veth.addresses());
        match pods.get(&behind.netns) {
            Some(pod) => Finding::Further { veth: name, pod: (*pod).clone(), addresses },
            None => Finding::Foreign { veth: name, addresses },
        }
    };
    others.map(|(veth, behind)| describe(veth, behind)).collect()
}
