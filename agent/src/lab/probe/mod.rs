//! Real packets from one namespace to another, and whether they arrived.

mod packets;
mod sockets;
mod volley;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::net::NetNs;
use volley::Volley;

/// How many probes are under way at once.
const WINDOW: usize = 2048;
/// How long a probe may take to arrive.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Arrived when the connection is complete.
    Tcp,
    Udp,
    /// An INIT chunk: works without SCTP in the kernel.
    Sctp,
    /// An echo request; its port is 0.
    Icmp,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp];

    /// As Kubernetes writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        }
    }

    /// `tcp/80`, `icmp`.
    #[must_use]
    pub fn at(self, port: u16) -> String {
        match self {
            Self::Icmp => "icmp".to_owned(),
            _ => format!("{}/{port}", self.name().to_ascii_lowercase()),
        }
    }
}

/// One packet to send. Both addresses are of one family and belong to their namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Names of network namespaces.
    pub from: String,
    pub from_ip: IpAddr,
    pub to: String,
    pub to_ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
}

/// The ends of probes, with the sockets that receive.
#[derive(Debug)]
pub struct Range {
    namespaces: BTreeMap<String, NetNs>,
    /// By namespace.
    receivers: Vec<(String, sockets::Receivers)>,
}

impl Range {
    /// Opens the namespaces of all probes, and a listener on each destination.
    ///
    /// # Errors
    /// A namespace is gone, or has not the address that a probe names.
    pub fn open(probes: &[Probe]) -> Result<Self> {
        raise_open_files()?;
        let mut namespaces = BTreeMap::new();
        let mut arriving: BTreeMap<&str, Vec<&Probe>> = BTreeMap::new();
        for probe in probes {
            for name in [&probe.from, &probe.to] {
                if !namespaces.contains_key(name) {
                    namespaces.insert(name.clone(), NetNs::named(name)?);
                }
            }
            arriving.entry(&probe.to).or_default().push(probe);
        }
        let receivers = arriving
            .into_iter()
            .map(|(name, probes)| Ok((name.to_owned(), sockets::Receivers::open(&namespaces[name], &probes)?)))
            .collect::<Result<_>>()?;
        Ok(Self { namespaces, receivers })
    }

    /// Sends every probe and says which ones arrived, in the same order. `meanwhile` is called every few
    /// milliseconds.
    ///
    /// # Errors
    /// A probe cannot be sent at all.
    pub fn send(
        &self,
        probes: &[Probe],
        patience: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<Vec<bool>> {
        let mut arrived = Vec::with_capacity(probes.len());
        for window in probes.chunks(WINDOW) {
            arrived.extend(Volley::send(self, window)?.watch(patience, &mut meanwhile)?);
            self.receivers.iter().for_each(|(_, end)| end.hang_up());
        }
        Ok(arrived)
    }
}

/// Each TCP probe is an open file; the usual limit of 1,024 is soft.
fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")
}
