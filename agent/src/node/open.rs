//! The start of an agent: what an earlier one left keeps enforcing as it was.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use common::abi::Ticks;
use jiff::Timestamp;
use nix::net::if_::if_indextoname;
use tokio::sync::watch::Sender;
use tracing::warn;

use super::clock::Clock;
use super::memory::{Folder, Memory};
use super::run::{Node, Options};
use super::status::Status;
use super::timings::Timings;
use super::veths::Veths;
use crate::kernel::{self, AfterDnat, Datapath, Rewriting};
use crate::publish::Publisher;

/// Ports that the kernel gives to connections that it opens.
const LOCAL_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// How long what pods said before they were enforced may go on (DESIGN.md §3.6).
const ADOPTION: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(30);
const VERIFY: Duration = Duration::from_secs(60);

impl Node {
    /// Loads the programs and takes over what an earlier agent left. Call it in the node's network namespace.
    ///
    /// # Errors
    /// One sentence about what the machine lacks, or which pinned map differs. Nothing has changed then.
    pub fn open(options: Options, status: Sender<Arc<Status>>, timings: Timings) -> Result<Self> {
        let mut datapath = Datapath::open(&options.pins, &kernel_options(&options)?)?;
        if let (AfterDnat::Auto, Rewriting::AtVeth { because }) = (options.settings.after_dnat, datapath.rewriting()) {
            warn!("calls are judged at the pod's veth and not behind the node's rewriting: {because}");
        }
        let folder = Folder::new(&options.state);
        let attached = datapath.attached()?;
        let remembered = folder.load()?;
        let install = datapath.is_fresh() && attached.is_empty() && remembered.is_none();
        let mut memory = match remembered {
            Some(memory) => memory,
            None => recall(&datapath)?,
        };
        let upgrade = datapath.is_upgrade()?;
        let flows_are_known = datapath.expect_flows()? && upgrade;
        let swap_later = upgrade || (datapath.is_fresh() && !attached.is_empty());
        if datapath.is_fresh() && !flows_are_known {
            // What is there may go on for a while.
            let adopt_until = adoption_end()?;
            memory.bindings.bound.values_mut().for_each(|bound| bound.adopt_until = adopt_until);
            if !install {
                folder.save(&memory)?;
            }
        }
        if !swap_later {
            datapath.swap_links()?;
        }
        let mut veths = Veths::new(memory.bindings.clone());
        if swap_later {
            veths.leave(&attached);
        }
        Ok(Self {
            options,
            datapath,
            publisher: Publisher::default(),
            folder,
            memory,
            veths,
            swap_later,
            install,
            looked: None,
            enforced: None,
            publication: None,
            drift_repaired: 0,
            error: None,
            status,
            timings,
            clock: Clock::new(SWEEP, VERIFY),
        })
    }
}

fn kernel_options(options: &Options) -> Result<kernel::Options> {
    let (ephemeral_first, ephemeral_last) = local_ports()?;
    let settings = common::abi::Settings {
        ephemeral_first,
        ephemeral_last,
        allow_tunnels: u32::from(options.settings.policy.allow_tunnels),
        ..common::abi::Settings::default()
    };
    let capacities = options.settings.maps.clone();
    let (attachment, after_dnat) = (options.attachment, options.settings.after_dnat);
    Ok(kernel::Options { settings, capacities, attachment, after_dnat, ..kernel::Options::default() })
}

fn local_ports() -> Result<(u16, u16)> {
    let text = fs::read_to_string(LOCAL_PORTS).with_context(|| format!("cannot read {LOCAL_PORTS}"))?;
    let mut ports = text.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok((first, last)),
        _ => anyhow::bail!("{LOCAL_PORTS} is no pair of ports: {text}"),
    }
}

/// Where no file is left, the maps tell what there is.
fn recall(datapath: &Datapath) -> Result<Memory> {
    let name = |ifindex: u32| Some(if_indextoname(ifindex).ok()?.to_string_lossy().into_owned());
    let observed = datapath.maps.observe()?;
    let mut memory = Memory::from_kernel(&observed.tables, name, Timestamp::now());
    memory.bindings.ids.note(datapath.maps.newest_flow_endpoint()?);
    Ok(memory)
}

/// The end of an adoption window that starts now.
pub(super) fn adoption_end() -> Result<Ticks> {
    kernel::ticks_from_now(ADOPTION)
}
