//! What is in a lab, as people read it.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::lab::{Listing, PodEntry};

/// A line for the node, and a table of the pods.
#[must_use]
pub fn table(listing: &Listing) -> String {
    let Listing { cni, node, pods, .. } = listing;
    let mut text = format!("node  {}  {}  ({cni} form)\n\n", join(&node.ips), node.netns);
    let heads = ["POD", "TENANT", "ADDRESSES", "VETH", "NETNS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(pods.iter().map(row)).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(pod: &PodEntry) -> [String; 5] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let name = format!("{}/{}", pod.namespace, pod.name);
    [name, or_dash(&pod.tenant), join(&pod.ips), or_dash(&pod.veth), pod.netns.clone()]
}

fn join(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
