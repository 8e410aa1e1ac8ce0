//! Two pods of a compiled world on a [`Twin`]: the first at one veth, the second at the other.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use agent::kernel::now_ticks;
use common::abi::{AllowReason, Direction, DropReason, Ticks};
use common::decide::{Seen, Verdict};
use policy::compile::{Binding, Compiled, Ids, Input, NodeView, Tables, compile};
use policy::model::{Config, PodKey, World};

use crate::frames::Ends;
use crate::host::HostFrame;
use crate::twin::Twin;
use crate::yaml::world;

/// The node that the pods are on, as they reach it.
pub const NODE: [IpAddr; 2] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 0, 1)), crate::scene::v6(1)];
/// The node's MAC address on each veth.
pub const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, last))
}

/// A pod at one of the veths.
#[derive(Clone, Debug)]
pub struct LocalPod {
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// IPv4, then IPv6.
    pub addresses: [IpAddr; 2],
}

/// A world in force.
#[derive(Debug)]
pub struct Scene<'a> {
    pub twin: &'a mut Twin,
    pub pods: [LocalPod; 2],
    /// The end of the pods' adoption window; 0 where they have none.
    adopt_until: Ticks,
    pub config: Config,
    /// The pod of the world that each of the pods is; `None` where nobody knows yet.
    keys: [Option<PodKey>; 2],
    next_id: u32,
    world: World,
    compiled: Compiled,
    ids: Ids,
}

impl<'a> Scene<'a> {
    /// The world of `manifests` on `twin`: the first two pods by namespace and name are the local ones.
    ///
    /// # Panics
    /// Where the manifests are refused.
    pub fn new(twin: &'a mut Twin, manifests: &str) -> Self {
        let world = world(manifests);
        let [first, second] = twin.veths;
        let mut pods = world.pods.values().zip([(first, 1), (second, 2)]).map(|(pod, (ifindex, number))| LocalPod {
            ifindex,
            mac: [2, 0, 0, 0, 0, number],
            addresses: pod.addresses.clone().try_into().expect("two addresses"),
        });
        let pods = [pods.next().expect("a pod"), pods.next().expect("a second pod")];
        let mut keys = world.pods.keys().cloned();
        let keys = [keys.next(), keys.next()];
        let (compiled, ids, config) = (Compiled::default(), Ids::default(), Config::default());
        let mut scene = Self { twin, pods, adopt_until: 0, config, keys, next_id: 1, world, compiled, ids };
        scene.enforce();
        scene
    }

    /// Puts another world in force, with the same local pods.
    pub fn change(&mut self, manifests: &str) {
        self.world = world(manifests);
        self.enforce();
    }

    /// Binds the local pods anew, as an agent does that starts with their veths there: with an adoption window of so many
    /// seconds, or none.
    ///
    /// # Panics
    /// Where the world does not compile.
    pub fn rebind(&mut self, adopting: u32) {
        self.next_id += 2;
        let end = now_ticks().expect("the clock") + adopting * common::abi::SECOND;
        self.adopt_until = if adopting == 0 { 0 } else { end };
        self.enforce();
    }

    /// Waits until the adoption window is over by every clock: the host's copy of the programs reads its own.
    ///
    /// # Panics
    /// Where the kernel's clock cannot be read.
    pub fn end_adoption(&self) {
        while now_ticks().expect("the clock") <= self.adopt_until + common::abi::SECOND {
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// As before anybody has told whose veth it is.
    pub fn forget_pod(&mut self, which: usize) {
        if let Some(key) = self.keys[which].take() {
            self.world.pods.remove(&key);
        }
        self.enforce();
    }

    /// Compiles and loads the world.
    ///
    /// # Panics
    /// Where it does not compile.
    pub fn enforce(&mut self) {
        let node = self.node_view();
        let input = Input { world: &self.world, config: &self.config, node: &node };
        self.compiled = compile(&input, &self.ids, Some(&self.compiled)).expect("the world compiles");
        self.ids = self.compiled.desired.ids.clone();
        self.twin.load(self.compiled.desired.clone());
    }

    /// What is in force.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.compiled.desired.tables
    }

    fn node_view(&self) -> NodeView {
        let endpoints = (0..).zip(&self.pods).zip(&self.keys).map(|((slot, pod), key)| Binding {
            slot,
            id: self.next_id + slot,
            ifindex: pod.ifindex,
            mac: pod.mac,
            addresses: pod.addresses.to_vec(),
            pod: key.clone(),
            adopt_until: self.adopt_until,
        });
        NodeView {
            name: "lab".to_owned(),
            addresses: NODE.into(),
            endpoints: endpoints.collect(),
            ..NodeView::default()
        }
    }

    /// The ends of a packet from one pod to the other, routed by the node: `family` 0 is IPv4, 1 IPv6.
    #[must_use]
    pub fn between(&self, from: usize, to: usize, family: usize) -> Ends {
        Ends {
            source_mac: self.pods[from].mac,
            destination_mac: self.pods[to].mac,
            source: self.pods[from].addresses[family],
            destination: self.pods[to].addresses[family],
        }
    }

    /// The ends of a packet from a pod to any address.
    #[must_use]
    pub fn to(&self, from: usize, destination: IpAddr) -> Ends {
        let family = usize::from(destination.is_ipv6());
        let pod = &self.pods[from];
        Ends { source_mac: pod.mac, destination_mac: NODE_MAC, source: pod.addresses[family], destination }
    }

    /// What a pod sends, at its own veth.
    pub fn send(&mut self, from: usize, frame: Vec<u8>) -> Seen {
        let frame = HostFrame::new(frame, self.pods[from].ifindex, self.pods[from].ifindex);
        self.twin.run(Direction::Egress, &frame)
    }

    /// What reaches a pod, having come in by an interface; 0 is the node itself.
    pub fn deliver(&mut self, to: usize, came_from: u32, frame: Vec<u8>) -> Seen {
        let frame = HostFrame::new(frame, self.pods[to].ifindex, came_from);
        self.twin.run(Direction::Ingress, &frame)
    }

    /// From one pod all the way to the other: the first drop, or what its receiver's veth says.
    pub fn pass(&mut self, from: usize, to: usize, frame: Vec<u8>) -> Verdict {
        let sent = self.send(from, frame.clone()).outcome.verdict;
        match sent {
            Verdict::Drop(_) => sent,
            Verdict::Allow(_) => self.deliver(to, self.pods[from].ifindex, frame).outcome.verdict,
        }
    }
}

/// An allowed packet.
pub const fn allowed(reason: AllowReason) -> Verdict {
    Verdict::Allow(reason)
}

/// A dropped packet.
pub const fn dropped(reason: DropReason) -> Verdict {
    Verdict::Drop(reason)
}
