//! What is in a lab, as people read it.

use std::net::IpAddr;

use crate::lab::{Listing, PodEntry};
use crate::text::columns;

/// A line for the node, and a table of the pods.
#[must_use]
pub fn table(listing: &Listing) -> String {
    let Listing { cni, node, pods, .. } = listing;
    let mut text = format!("node  {}  {}  ({cni} form)\n\n", join(&node.ips), node.netns);
    let heads = ["POD", "TENANT", "ADDRESSES", "VETH", "NETNS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(pods.iter().map(row)).collect();
    text.push_str(&columns(&rows));
    text
}

fn row(pod: &PodEntry) -> [String; 5] {
    let name = format!("{}/{}", pod.namespace, pod.name);
    [
        name,
        pod.tenant.clone().unwrap_or_default(),
        join(&pod.ips),
        pod.veth.clone().unwrap_or_default(),
        pod.netns.clone(),
    ]
}

fn join(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
