//! The datapath in the kernel: programs at the hooks of veths, and the maps that tell them what to do.
//!
//! `open` brings programs and maps up under a folder of pins, `attach` puts the programs on a veth. What is pinned
//! outlives the process: with nobody here, everything attached keeps enforcing.

mod after_dnat;
mod apply;
mod btf;
mod checksum;
mod clock;
mod conntrack;
mod counters;
mod expedited;
mod flows;
mod link_pins;
mod links;
mod maps;
mod object;
mod observe;
mod pins;
mod raw;
mod require;
mod test_run;
mod upgrade;
mod write;

pub use after_dnat::{AfterDnat, Rewriting};
use anyhow::{Context, Result};
pub(crate) use apply::GRACE;
use aya::programs::SchedClassifier;
use aya::{Btf, Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
pub(crate) use clock::boot_time;
pub use clock::{now_ticks, ticks_from_now};
use common::abi::{ChecksumLayout, Direction, Settings};
pub use counters::MapUsage;
use links::Hook;
pub use links::{Attachment, destroy};
pub use maps::Maps;
pub(crate) use maps::pinned;
pub use object::MapCapacities;
pub use pins::Pins;
pub use require::mount_bpffs;
pub use test_run::{Frame, TestRun};

/// How much the programs say through aya-log, a tool for their developers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum LogLevel {
    #[default]
    Off = 0,
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
    Trace = 5,
}

/// What is fixed for as long as a [`Datapath`] lives.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub settings: Settings,
    pub capacities: MapCapacities,
    pub attachment: Attachment,
    pub after_dnat: AfterDnat,
    pub log_level: LogLevel,
}

/// A datapath with its programs loaded. Dropping it detaches nothing.
#[derive(Debug)]
pub struct Datapath {
    pub maps: Maps,
    pins: Pins,
    programs: Programs,
    hook: Hook,
    fresh: bool,
    after_dnat: Result<after_dnat::Links, String>,
    options: Options,
}

impl Datapath {
    /// Loads the programs; creates and pins the maps, or takes over those that are pinned already.
    ///
    /// Veths that are attached keep their old programs until [`Datapath::swap_links`] or [`Datapath::attach`]: where
    /// the maps are new they should be filled first. Call it in the node's network namespace.
    ///
    /// # Errors
    /// One sentence: what the machine lacks, or which pinned map differs, and the remedy. Nothing has changed then.
    pub fn open(pins: &Pins, options: &Options) -> Result<Self> {
        require::check()?;
        expedited::recover();
        let definitions = object::definitions(&options.capacities)?;
        for definition in &definitions {
            let pin = pins.maps().join(&definition.name);
            if pin.exists() {
                definition.check(&pin, pins, &options.capacities)?;
            }
        }
        let fresh = !pins.maps().join("FLOW").exists();
        pins.create()?;
        let wanted = options.after_dnat == AfterDnat::Auto;
        let checksum = checksum::layout()?;
        // It makes the maps, which the program behind the rewriting needs.
        let mut ebpf = load(pins, options, &definitions, &checksum, wanted)?;
        let after_dnat = match options.after_dnat {
            AfterDnat::Auto => after_dnat::Links::attach(pins, options).map_err(|error| format!("{error:#}")),
            AfterDnat::Off => Err("it is switched off".to_owned()),
        };
        if wanted && after_dnat.is_err() {
            ebpf = load(pins, options, &definitions, &checksum, false)?;
        }
        let mut maps =
            Maps::collect(|name| ebpf.take_map(name).with_context(|| format!("no map {name} in the object")))?;
        maps.prepare_counters()?;
        let programs = Programs::load(ebpf)?;
        Ok(Self {
            maps,
            pins: pins.clone(),
            programs,
            hook: links::probe(options.attachment)?,
            fresh,
            after_dnat,
            options: options.clone(),
        })
    }

    /// Puts the program behind the node's rewriting back, where somebody has taken it off. True where that was so.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn restore_after_dnat(&mut self) -> Result<bool> {
        match &self.after_dnat {
            Ok(links) if !links.stand(&self.pins) => {
                self.after_dnat = Ok(after_dnat::Links::attach(&self.pins, &self.options)?);
                after_dnat::retire(&self.pins, self.after_dnat.as_ref().ok())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Where calls are judged that the node rewrites.
    #[must_use]
    pub fn rewriting(&self) -> Rewriting {
        match &self.after_dnat {
            Ok(_) => Rewriting::AfterDnat,
            Err(because) => Rewriting::AtVeth { because: because.clone() },
        }
    }

    #[must_use]
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// True where the maps were created by this call to `open`: no flow is known, and nothing has been applied.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Hands over what the programs log: each call of the result passes on what has been said since the last.
    ///
    /// # Errors
    /// The programs were built without aya-log.
    pub fn log(&mut self) -> Result<impl FnMut() + use<>> {
        let mut logger = EbpfLogger::init(&mut self.programs.ebpf).context("the programs have nothing to log")?;
        Ok(move || logger.flush())
    }
}

/// The object on its pinned maps, which are made where they are not there.
fn load(
    pins: &Pins,
    options: &Options,
    definitions: &[object::Definition],
    checksum: &ChecksumLayout,
    after_dnat: bool,
) -> Result<Ebpf> {
    let btf = Btf::from_sys_fs().context("the kernel's own types cannot be read")?;
    let level = options.log_level as u8;
    let mut loader = EbpfLoader::new();
    let clock = clock::of_this_kernel()?;
    let settings = Settings { after_dnat: u32::from(after_dnat), ..options.settings };
    loader.btf(Some(&btf)).override_global("SETTINGS", &settings, true);
    loader.override_global("CLOCK", &clock, true);
    let flow_limits = object::flow_limits(definitions)?;
    loader.override_global("FLOW_LIMITS", &flow_limits, true);
    loader.override_global("CHECKSUM", checksum, true);
    loader.override_global("AYA_LOG_LEVEL", &level, false);
    for definition in definitions {
        loader.map_max_entries(&definition.name, definition.entries());
        loader.map_pin_path(&definition.name, pins.maps().join(&definition.name));
    }
    loader.load(object::OBJECT).with_context(|| format!("cannot set up the maps in {}", pins.maps().display()))
}

/// The two programs, loaded.
#[derive(Debug)]
struct Programs {
    ebpf: Ebpf,
}

impl Programs {
    fn load(ebpf: Ebpf) -> Result<Self> {
        let mut this = Self { ebpf };
        for direction in Direction::ALL {
            this.get(direction)?.load().with_context(|| format!("the kernel refuses {}", name(direction)))?;
        }
        Ok(this)
    }

    fn get(&mut self, direction: Direction) -> Result<&mut SchedClassifier> {
        let name = name(direction);
        let program = self.ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
        program.try_into().with_context(|| format!("the program {name} is no classifier"))
    }
}

/// The entry point of a direction in the object.
const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "from_pod",
        Direction::Ingress => "to_pod",
    }
}
