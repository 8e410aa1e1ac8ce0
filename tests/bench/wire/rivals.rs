//! What stands between the two pods: nothing, an empty program, Bulkhead, or nftables in its two forms.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use agent::kernel::Datapath;
use anyhow::{Context, Result, ensure};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, TcAttachType};

use super::topology::{SERVER, Topology};
use crate::empty::Empty;
use crate::kernel;

/// How many rules the linear list and the map of nftables have.
const NFT_RULES: u32 = 1000;

/// What is compared.
pub enum Rival {
    None,
    EmptyTcx(Empty),
    Bulkhead(Box<kernel::Loaded>),
    NftLinear,
    NftMap,
}

/// A rival in place, until [`Rival::remove`].
#[must_use]
pub struct InPlace {
    /// Dropping one takes its program off.
    links: Vec<SchedClassifierLink>,
}

impl Rival {
    /// Puts it on both veths of the node.
    pub fn place(&mut self, topology: &Topology) -> Result<InPlace> {
        let mut links = Vec::new();
        match self {
            Self::None => {}
            Self::EmptyTcx(empty) => topology.node.run(|| -> Result<()> {
                for pod in topology.pods() {
                    for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
                        links.push(attach(empty, pod.veth, hook)?);
                    }
                }
                Ok(())
            })??,
            Self::Bulkhead(loaded) => {
                let datapath: &mut Datapath = &mut loaded.datapath;
                let attached = topology.node.run(|| -> Result<()> {
                    topology.pods().into_iter().try_for_each(|pod| datapath.attach(pod.ifindex, pod.veth))
                })?;
                attached?;
            }
            Self::NftLinear => nft(topology, &linear())?,
            Self::NftMap => nft(topology, &map())?,
        }
        Ok(InPlace { links })
    }

    /// Takes it away again.
    pub fn remove(&mut self, in_place: InPlace, topology: &Topology) -> Result<()> {
        drop(in_place.links);
        match self {
            Self::None | Self::EmptyTcx(_) => Ok(()),
            Self::Bulkhead(loaded) => {
                topology.pods().into_iter().try_for_each(|pod| loaded.datapath.detach(pod.ifindex))
            }
            Self::NftLinear | Self::NftMap => nft(topology, "flush ruleset\n"),
        }
    }
}

fn attach(empty: &Empty, veth: &str, hook: TcAttachType) -> Result<SchedClassifierLink> {
    let mut program = empty.program()?;
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(veth, hook, options).with_context(|| format!("cannot attach to {veth}"))?;
    Ok(program.take_link(id)?)
}

/// A list that every packet walks to its end.
fn linear() -> String {
    let mut rules = String::from("table ip bench {\n chain forward { type filter hook forward priority 0;\n");
    for source in sources() {
        let _infallible = writeln!(rules, "  ip saddr {source} ip daddr {SERVER} drop");
    }
    rules + " }\n}\n"
}

/// One look-up.
fn map() -> String {
    let elements: Vec<_> = sources().map(|source| format!("{source} . {SERVER} : drop")).collect();
    format!(
        "table ip bench {{\n map pairs {{ type ipv4_addr . ipv4_addr : verdict; elements = {{ {} }} }}\n \
         chain forward {{ type filter hook forward priority 0;\n  ip saddr . ip daddr vmap @pairs\n }}\n}}\n",
        elements.join(", ")
    )
}

fn sources() -> impl Iterator<Item = std::net::Ipv4Addr> {
    (0..NFT_RULES).map(|n| std::net::Ipv4Addr::from(0xac10_0000 + n))
}

pub fn nft(topology: &Topology, rules: &str) -> Result<()> {
    let output = topology.node.run(|| -> std::io::Result<std::process::Output> {
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = nft.stdin.take() {
            stdin.write_all(rules.as_bytes())?;
        }
        nft.wait_with_output()
    })?;
    let output = output.context("cannot run nft: `apt-get install nftables`")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
