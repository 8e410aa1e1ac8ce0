//! The program behind the node's rewriting, at netfilter's hooks (Linux 6.4): loading, attaching, replacing.
//!
//! A link of this type cannot be given another program. A new one is put beside the old one, at another priority, and the
//! old one goes when the programs of the veths have been swapped: at each moment one of them judges whatever the veths
//! let pass undecided. A set of links is pinned as `links/after-dnat-SET-FAMILY-HOOK`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aya::maps::MapData;
use aya_obj::{EbpfSectionKind, Object};
use common::abi::{KernelLayout, Settings};
use serde::Serialize;

use super::btf::Types;
use super::raw::{self, NetfilterHook};
use super::{Options, Pins, clock, conntrack, object};

const PROGRAM: &str = "after_dnat";
pub(super) const PREFIX: &str = "after-dnat-";

/// Behind NAT, also that of the source (100), so that conntrack's entry is complete; before conntrack's own last hook, so
/// that nothing is left of what drops.
const SETS: [(&str, i32); 2] = [("a", 150), ("b", 151)];
const FAMILIES: [(&str, u32); 2] = [("ipv4", 2), ("ipv6", 10)];
const HOOKS: [(&str, u32); 2] = [("input", 1), ("postrouting", 4)];

/// Whether calls are judged behind the node's rewriting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterDnat {
    /// Where the kernel can.
    #[default]
    Auto,
    Off,
}

/// Where calls are judged that the node rewrites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Rewriting {
    /// As what they became.
    AfterDnat,
    /// At the pod's veth, by what is known of Services.
    AtVeth { because: String },
}

/// A set of links in force.
#[derive(Debug)]
pub(super) struct Links {
    set: &'static str,
}

impl Links {
    /// Puts the program on its hooks, beside an earlier one. The maps must be pinned.
    ///
    /// # Errors
    /// The kernel cannot, or refuses. What an earlier agent attached stays.
    pub(super) fn attach(pins: &Pins, options: &Options) -> Result<Self> {
        let program = load(pins, options)?;
        let (set, priority) = free(pins)?;
        let links = Self { set };
        for place in places(pins, set) {
            let hook = NetfilterHook { family: place.family, hook: place.hook, priority };
            if let Err(error) = raw::attach_netfilter(program.as_fd(), hook, &place.pin) {
                remove(pins, set)?;
                return Err(error);
            }
        }
        Ok(links)
    }

    /// True as long as nobody has taken one of them away.
    pub(super) fn stand(&self, pins: &Pins) -> bool {
        is_whole(pins, self.set)
    }
}

/// Takes every set of links off their hooks but the one that is in force.
pub(super) fn retire(pins: &Pins, in_force: Option<&Links>) -> Result<()> {
    let others = SETS.iter().filter(|(set, _)| in_force.is_none_or(|links| links.set != *set));
    others.into_iter().try_for_each(|(set, _)| remove(pins, set))
}

struct Place {
    pin: PathBuf,
    family: u32,
    hook: u32,
}

fn places(pins: &Pins, set: &str) -> Vec<Place> {
    let of = |(family, number), (hook, at)| Place {
        pin: pins.links().join(format!("{PREFIX}{set}-{family}-{hook}")),
        family: number,
        hook: at,
    };
    FAMILIES.iter().flat_map(|&family| HOOKS.iter().map(move |&hook| of(family, hook))).collect()
}

fn is_whole(pins: &Pins, set: &str) -> bool {
    places(pins, set).iter().all(|place| place.pin.exists())
}

/// A set without links. Where there are some in both, because an agent died between the two, one is whole and stays.
fn free(pins: &Pins) -> Result<(&'static str, i32)> {
    let [first, second] = SETS;
    let is_taken = places(pins, first.0).iter().any(|place| place.pin.exists());
    let free = if is_taken && !is_whole(pins, second.0) { second } else { first };
    remove(pins, free.0)?;
    Ok(free)
}

fn remove(pins: &Pins, set: &str) -> Result<()> {
    for Place { pin, .. } in places(pins, set) {
        if pin.exists() {
            raw::detach_link(&pin)?;
            fs::remove_file(&pin).with_context(|| format!("cannot remove {}", pin.display()))?;
        }
    }
    Ok(())
}

/// The program, on the pinned maps.
fn load(pins: &Pins, options: &Options) -> Result<OwnedFd> {
    conntrack::load()?;
    let mut object = Object::parse(object::OBJECT).context("the BPF object in this binary cannot be read")?;
    let (settings, clock, layout) = (options.settings, clock::of_this_kernel()?, layout()?);
    let limits = object::flow_limits(&object::definitions(&options.capacities)?)?;
    let globals = [
        ("SETTINGS", bytes::<Settings>(&settings)),
        ("CLOCK", bytes(&clock)),
        ("LAYOUT", bytes(&layout)),
        ("FLOW_LIMITS", bytes(&limits)),
    ];
    let globals: HashMap<_, _> = globals.into_iter().map(|(name, value)| (name, (value, true))).collect();
    object.patch_map_data(globals).context("the program's constants are not what this version expects")?;
    // With them the verifier looks at what judges an end once, and not for each way to it.
    let types = match aya::features().btf() {
        Some(features) => {
            let types = object.fixup_and_sanitize_btf(features).context("the program's types cannot be read")?;
            types.map(|types| raw::load_types(&types.to_bytes())).transpose()?
        }
        None => None,
    };
    object.sanitize_functions(aya::features());
    let maps = maps(pins, &object)?;
    let descriptors: Vec<_> = maps.iter().map(|(name, map)| (name.as_str(), map.fd().as_fd().as_raw_fd())).collect();
    let declared = object.maps.clone();
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let maps_of = descriptors.iter().map(|&(name, descriptor)| (name, descriptor, &declared[name]));
    object.relocate_maps(maps_of, &sections).context("cannot lead the program to its maps")?;
    object.relocate_calls(&sections).context("cannot put the program together")?;
    let program = object.programs.get(PROGRAM).with_context(|| format!("no program {PROGRAM} in the object"))?;
    let function = object.functions.get(&program.function_key()).context("a program without a function")?;
    let program =
        raw::Program { name: PROGRAM, license: &object.license, function, types: types.as_ref().map(AsFd::as_fd) };
    raw::load_netfilter(&program)
}

/// Each map that the object declares: the pinned one, or its own where it holds constants.
fn maps(pins: &Pins, object: &Object) -> Result<Vec<(String, MapData)>> {
    let mut maps = Vec::new();
    for (name, declared) in &object.maps {
        let pin = pins.maps().join(name);
        let map = if matches!(declared.section_kind(), EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps) && pin.exists()
        {
            MapData::from_pin(&pin).with_context(|| format!("cannot open the pinned map {}", pin.display()))?
        } else {
            MapData::create(declared.clone(), name, None).with_context(|| format!("cannot create the map {name}"))?
        };
        if declared.section_kind() == EbpfSectionKind::Rodata {
            raw::freeze(map.fd().as_fd(), declared.data())?;
        }
        maps.push((name.clone(), map));
    }
    Ok(maps)
}

#[expect(unsafe_code, reason = "constants are patched into the object as bytes")]
const fn bytes<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: `Pod` promises that all of it are plain bytes.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Where this kernel keeps what the program reads.
fn layout() -> Result<KernelLayout> {
    let types = Types::of_kernel_with("nf_conntrack")?;
    let skb = |field| types.offset("sk_buff", field);
    let tuples = types.offset("nf_conn", "tuplehash")?;
    let tuple = types.offset("nf_conntrack_tuple_hash", "tuple")?;
    let shape = [
        types.size("nf_conntrack_tuple")?,
        types.size("nf_conntrack_tuple_hash")?,
        tuple,
        types.offset("nf_conn", "status")? - tuples,
        types.offset("nf_conntrack_tuple", "dst")?,
    ];
    ensure!(shape == [40, 56, 16, 112, 20], "conntrack's entries have a shape that is not known: {shape:?}");
    Ok(KernelLayout {
        nfct: skb("_nfct")?,
        tc_index: skb("tc_index")?,
        skb_iif: skb("skb_iif")?,
        len: skb("len")?,
        data_len: skb("data_len")?,
        head: skb("head")?,
        network_header: skb("network_header")?,
        tuples: tuples + tuple,
        status: types.offset("nf_conn", "status")?,
        hook: types.offset("nf_hook_state", "hook")?,
        pf: types.offset("nf_hook_state", "pf")?,
    })
}
