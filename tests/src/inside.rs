//! The networks of a lab's pods, its node and the world, seen from inside.

use std::net::IpAddr;
use std::process::Command;

use agent::lab::{Cni, Lab, UpOptions};
use agent::net::NetNs;
use policy::model::PodKey;
use serde_json::Value;

use crate::frames::Ends;
use crate::lab::{Tried, manifests};
use crate::wire::{Wire, mac_of};

/// Addresses outside of the cluster, IPv4 and IPv6, that the world owns in labs of [`with_world`].
pub const EXTERNAL: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

/// Tenant red with a pod a/one, and tenant blue with a pod b/two.
pub const RED_AND_BLUE: &str = "
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: red}}
---
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: blue}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {capsule.clastix.io/tenant: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {capsule.clastix.io/tenant: blue}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: a}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, namespace: b}, spec: {containers: []}}
";

/// Runs a test in a lab of each form, with [`EXTERNAL`] outside the cluster.
pub fn both_forms(label: &str, world: &str, test: impl Fn(Lab, Cni)) {
    for cni in [Cni::Ptp, Cni::Bridge] {
        let tried = Tried::new(&format!("{label}-{cni}"));
        test(tried.up(manifests(world), &with_world(cni)), cni);
    }
}

/// No configuration, and [`EXTERNAL`] outside the cluster.
///
/// # Panics
/// Never: they are addresses.
#[must_use]
pub fn with_world(cni: Cni) -> UpOptions {
    let external = EXTERNAL.map(|ip| ip.parse().expect("an address")).to_vec();
    UpOptions { external, ..Tried::options(cni) }
}

/// A pod of a lab: its network, and how a frame gets out of it.
#[derive(Debug)]
pub struct Inside {
    pub netns: NetNs,
    /// IPv4, then IPv6.
    pub addresses: [IpAddr; 2],
    pub mac: [u8; 6],
    /// Of its host veth, or of the bridge.
    pub gateway: [u8; 6],
    /// The name of its host veth.
    pub veth: String,
    on_bridge: bool,
}

impl Inside {
    /// # Panics
    /// Where the lab has no such pod.
    #[must_use]
    pub fn new(lab: &Lab, cni: Cni, namespace: &str, name: &str) -> Self {
        Self::listed(lab, cni, &listing(lab), namespace, name)
    }

    /// The same from a listing of the lab, for those who look at many pods of a large one.
    ///
    /// # Panics
    /// Where the lab has no such pod.
    #[must_use]
    pub fn listed(lab: &Lab, cni: Cni, listing: &Value, namespace: &str, name: &str) -> Self {
        let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
        let netns = NetNs::named(&lab.name().pod(&key).expect("a name")).expect("its namespace");
        let pods = listing["pods"].as_array().expect("pods");
        let pod = pods.iter().find(|pod| pod["namespace"] == namespace && pod["name"] == name).expect("the pod");
        let addresses = pod["ips"].as_array().expect("addresses").iter();
        let addresses: Vec<IpAddr> = addresses.map(|ip| ip.as_str().expect("text").parse().expect("an IP")).collect();
        let veth = pod["veth"].as_str().expect("a veth").to_owned();
        let on_bridge = matches!(cni, Cni::Bridge);
        let gateway = mac_of(&node(lab), if on_bridge { "cni0" } else { &veth });
        let mac = mac_of(&netns, "eth0");
        Self { netns, addresses: addresses.try_into().expect("two addresses"), mac, gateway, veth, on_bridge }
    }

    /// The ends of a frame to another pod.
    #[must_use]
    pub const fn to(&self, other: &Self, family: usize) -> Ends {
        let destination_mac = if self.on_bridge { other.mac } else { self.gateway };
        Ends {
            source_mac: self.mac,
            destination_mac,
            source: self.addresses[family],
            destination: other.addresses[family],
        }
    }

    /// The ends of a frame to an address that its node routes.
    #[must_use]
    pub const fn out(&self, destination: IpAddr) -> Ends {
        let source = self.addresses[destination.is_ipv6() as usize];
        Ends { source_mac: self.mac, destination_mac: self.gateway, source, destination }
    }

    /// The wire as the pod has it.
    #[must_use]
    pub fn wire(&self) -> Wire {
        Wire::open(&self.netns, "eth0")
    }

    /// Runs `work` in the pod's network.
    ///
    /// # Panics
    /// Where it cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.run(work).expect("enter the pod's network")
    }

    /// Runs `ip ARGUMENTS` in the pod's network.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ip(&self, arguments: &str) {
        let status = self.run(|| Command::new("ip").args(arguments.split_whitespace()).status());
        assert!(status.expect("ip").success(), "ip {arguments}");
    }
}

/// What `bulkhead lab ps -o json` says.
///
/// # Panics
/// Where it cannot.
#[must_use]
pub fn listing(lab: &Lab) -> Value {
    serde_json::to_value(lab.list().expect("a listing")).expect("JSON")
}

/// The network of a lab's node.
///
/// # Panics
/// Where it is gone.
#[must_use]
pub fn node(lab: &Lab) -> NetNs {
    NetNs::named(&lab.name().node()).expect("the node's namespace")
}

/// The network outside of a lab's cluster.
///
/// # Panics
/// Where it is gone.
#[must_use]
pub fn outside(lab: &Lab) -> NetNs {
    NetNs::named(&lab.name().world()).expect("the world's namespace")
}
