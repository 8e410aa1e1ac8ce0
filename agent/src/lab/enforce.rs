//! From a world to the kernel: what the lab asks of the compiler and of the datapath.

use std::collections::BTreeSet;

use anyhow::Result;
use policy::compile::{Binding, Compiled, Input, NodeView, compile_within};

use super::name::LabName;
use super::state::State;
use super::topology::{Node, Wire};
use crate::config::Settings;
use crate::kernel::{Datapath, Options};
use crate::net::NetNs;
use crate::publish::Publisher;
use crate::terminal::say;

/// A lab exists to look at drops: every one is an event.
const EVENTS_PER_SECOND: u32 = 1_000_000;

/// The lab's datapath, worked on in its node's namespace.
#[derive(Debug)]
pub struct Enforcer<'a> {
    node: &'a NetNs,
    datapath: Datapath,
}

impl<'a> Enforcer<'a> {
    /// Loads the programs; takes over what an earlier command pinned.
    ///
    /// # Errors
    /// One sentence about what the machine lacks.
    pub fn open(lab: &LabName, node: &'a NetNs, settings: &Settings) -> Result<Self> {
        let fixed = common::abi::Settings {
            allow_tunnels: u32::from(settings.policy.allow_tunnels),
            events_per_second: EVENTS_PER_SECOND,
            ..common::abi::Settings::default()
        };
        let options = Options {
            settings: fixed,
            capacities: settings.maps.clone(),
            after_dnat: settings.after_dnat,
            ..Options::default()
        };
        let pins = lab.pins()?;
        let datapath = node.run(|| {
            let mut datapath = Datapath::open(&pins, &options)?;
            datapath.swap_links()?;
            anyhow::Ok(datapath)
        })??;
        Ok(Self { node, datapath })
    }

    /// Puts the programs on host veths.
    ///
    /// # Errors
    /// An interface is gone, or the kernel refuses.
    pub fn attach(&mut self, wires: &[Wire]) -> Result<()> {
        let Self { node, datapath } = self;
        node.run(|| {
            for wire in wires {
                datapath.attach(wire.ifindex, &wire.veth)?;
            }
            Ok(())
        })?
    }

    /// Takes the programs off an interface, also where that is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&mut self, ifindex: u32) -> Result<()> {
        let Self { node, datapath } = self;
        node.run(|| datapath.detach(ifindex))?
    }

    /// What a world compiles to, with the numbers that are in use.
    ///
    /// # Errors
    /// Numbers do not suffice, or a map cannot be read.
    pub fn compile(&self, input: &Input<'_>) -> Result<Compiled> {
        let maps = &self.datapath.maps;
        Ok(compile_within(input, &maps.observe()?.ids, None, &maps.capacities()?.budget())?)
    }

    /// Makes a world the one that is enforced. Returns when it is, and the world before is gone.
    ///
    /// # Errors
    /// A map has no room, or cannot be written: the old state keeps being enforced.
    pub fn publish(&mut self, input: &Input<'_>, previous: Option<Compiled>) -> Result<()> {
        let maps = &mut self.datapath.maps;
        let mut publisher = Publisher::new(previous);
        publisher.publish(maps, input)?;
        for excess in publisher.compiled().iter().flat_map(|compiled| &compiled.excesses) {
            say(&format!("bulkhead: warning: {excess}"));
        }
        publisher.finish(maps)
    }
}

/// What the compiler has to know of the lab's node.
///
/// # Errors
/// The node's addresses cannot be listed.
pub async fn view(name: &str, node: &Node, state: &State) -> Result<NodeView> {
    Ok(NodeView {
        name: name.to_owned(),
        addresses: node.netlink.addresses().await?,
        tunnel_ports: node.netlink.tunnel_ports().await?,
        bridges: BTreeSet::from_iter(node.bridge),
        endpoints: bindings(state),
    })
}

/// The pods' veths, each bound to its pod for life.
pub fn bindings(state: &State) -> Vec<Binding> {
    let bind = |pod: &super::state::PodState| Binding {
        slot: pod.slot,
        id: pod.endpoint,
        ifindex: pod.wire.ifindex,
        mac: pod.wire.mac,
        addresses: pod.addresses.clone(),
        pod: Some(pod.key.clone()),
        adopt_until: 0,
    };
    state.pods.values().map(bind).collect()
}
