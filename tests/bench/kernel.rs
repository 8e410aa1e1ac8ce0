//! From a world to a loaded datapath: the real compiler, the real plan.

use agent::kernel::{AfterDnat, Datapath, MapCapacities, Options, Pins, destroy};
use anyhow::{Context, Result};
use policy::compile::{Compiled, Ids, Input};

use crate::worlds;

/// A datapath of the benchmark's own; its pins are gone on drop.
#[derive(Debug)]
pub struct Loaded {
    pub datapath: Datapath,
    pins: Pins,
}

/// # Errors
/// The world does not compile.
pub fn compile(input: &worlds::Input) -> Result<Compiled> {
    let worlds::Input { world, config, node } = input;
    Ok(policy::compile::compile(&Input { world, config, node }, &Ids::default(), None)?)
}

/// Compiles a world and brings it into a datapath under pins of this name. Call it in the node's network namespace.
///
/// # Errors
/// The world does not compile, or the kernel refuses it.
pub fn load(name: &str, input: &worlds::Input, after_dnat: AfterDnat) -> Result<Loaded> {
    let pins = Pins::lab(name)?;
    destroy(&pins).context("cannot remove what an earlier run left")?;
    let desired = compile(input)?.desired;
    let capacities = MapCapacities {
        peers: Some(1 << 17),
        ranges: Some(1 << 17),
        rules: Some(1 << 18),
        ids: Some(1 << 19),
        ..MapCapacities::default()
    };
    let datapath = Datapath::open(&pins, &Options { capacities, after_dnat, ..Options::default() })?;
    let mut loaded = Loaded { datapath, pins };
    loaded.datapath.maps.reconcile(&desired)?;
    Ok(loaded)
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Err(error) = destroy(&self.pins) {
            eprintln!("{error:#}");
        }
    }
}
