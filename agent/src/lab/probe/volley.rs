//! Probes that are under way at the same time, driven by one poll loop.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use super::packets::{self, Token};
use super::sockets::{Senders, dial};
use super::{Probe, Range, Transport};

/// How often `meanwhile` is called, in milliseconds.
const PULSE: u16 = 10;
/// Source ports of SCTP probes start here: ephemeral ones.
const SCTP_SOURCE: u32 = 33_000;

/// Tells the volleys of one process apart; its id tells processes apart.
static RUN: AtomicU32 = AtomicU32::new(1);

/// Probes under way.
#[derive(Debug)]
pub struct Volley<'a> {
    range: &'a Range,
    probes: &'a [Probe],
    run: u32,
    arrived: Vec<bool>,
    /// TCP connections that are neither made nor refused, by the index of their probe.
    dialled: HashMap<usize, Socket>,
    /// Made: held until the end, so that every reset comes after what is measured.
    connected: Vec<Socket>,
}

impl<'a> Volley<'a> {
    /// Sends every probe once.
    pub fn send(range: &'a Range, probes: &'a [Probe]) -> Result<Self> {
        let run = std::process::id() << 10 ^ RUN.fetch_add(1, Ordering::Relaxed);
        let arrived = vec![false; probes.len()];
        let mut volley = Self { range, probes, run, arrived, dialled: HashMap::new(), connected: Vec::new() };
        let mut leaving: BTreeMap<&str, Vec<(usize, &Probe)>> = BTreeMap::new();
        for (index, probe) in probes.iter().enumerate() {
            leaving.entry(&probe.from).or_default().push((index, probe));
        }
        for (namespace, probes) in leaving {
            volley.send_from(namespace, &probes)?;
            // What has arrived meanwhile makes room in the sockets' buffers.
            volley.read_all();
        }
        Ok(volley)
    }

    fn send_from(&mut self, namespace: &str, probes: &[(usize, &Probe)]) -> Result<()> {
        let namespace = self.range.namespaces.get(namespace).context("a probe from an unknown namespace")?;
        let (tcp, other): (Vec<_>, Vec<_>) =
            probes.iter().copied().partition(|(_, probe)| probe.transport == Transport::Tcp);
        let sockets = dial(namespace, &tcp.iter().map(|(_, probe)| *probe).collect::<Vec<_>>())?;
        for ((index, probe), socket) in tcp.into_iter().zip(sockets) {
            match socket.connect(&SocketAddr::new(probe.to_ip, probe.port).into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                    return Err(error).with_context(|| describe(probe));
                }
                _ => self.dialled.insert(index, socket),
            };
        }
        let senders = Senders::open(namespace, &other.iter().map(|(_, probe)| *probe).collect::<Vec<_>>())?;
        for (index, probe) in other {
            self.send_packet(&senders, index, probe).with_context(|| describe(probe))?;
        }
        Ok(())
    }

    fn send_packet(&self, senders: &Senders, index: usize, probe: &Probe) -> Result<()> {
        let token = Token { run: self.run, index: u32::try_from(index)? };
        let socket = senders.socket(probe.from_ip, probe.transport)?;
        let source = u16::try_from(SCTP_SOURCE + (self.run.wrapping_add(token.index)) % 27_000)?;
        let to = match probe.transport {
            Transport::Udp => SocketAddr::new(probe.to_ip, probe.port),
            // Raw sockets have no ports; IPv6 refuses one that is not 0.
            Transport::Tcp | Transport::Sctp | Transport::Icmp => SocketAddr::new(probe.to_ip, 0),
        };
        match probe.transport {
            Transport::Tcp | Transport::Udp => socket.send_to(&packets::payload(token), &to.into()),
            Transport::Sctp => socket.send_to(&packets::sctp_init(token, source, probe.port), &to.into()),
            Transport::Icmp => socket.send_to(&packets::echo(token, to.is_ipv6()), &to.into()),
        }?;
        Ok(())
    }

    /// Waits until everything has arrived or `patience` is over.
    pub fn watch(mut self, patience: Duration, meanwhile: &mut impl FnMut() -> Result<()>) -> Result<Vec<bool>> {
        let end = Instant::now() + patience;
        while Instant::now() < end && self.arrived.contains(&false) {
            let settled = self.wait()?;
            settled.into_iter().for_each(|index| self.settle(index));
            self.read_all();
            meanwhile()?;
        }
        Ok(self.arrived)
    }

    /// Waits for something to happen; which connections are made or refused.
    fn wait(&self) -> Result<Vec<usize>> {
        let dialled: Vec<_> = self.dialled.iter().collect();
        let connections = dialled.iter().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT));
        let raw = self.range.receivers.iter().flat_map(|(_, end)| &end.raw);
        let raw = raw.map(|(_, _, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        let mut files: Vec<_> = connections.chain(raw).collect();
        match poll(&mut files, PollTimeout::from(PULSE)) {
            Ok(_) => {}
            Err(nix::Error::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(error).context("cannot wait for packets"),
        }
        let settled = dialled.iter().zip(&files).filter(|(_, file)| file.any() == Some(true));
        Ok(settled.map(|((index, _), _)| **index).collect())
    }

    fn settle(&mut self, index: usize) {
        if let Some(socket) = self.dialled.remove(&index) {
            self.arrived[index] = has_arrived(&socket);
            self.connected.push(socket);
        }
    }

    fn read_all(&mut self) {
        for (namespace, end) in &self.range.receivers {
            for (transport, v6, socket) in &end.raw {
                while let Some(token) = receive(*transport, *v6, socket) {
                    let Some(Token { run, index }) = token else { continue };
                    let index = index as usize;
                    // Where it arrived counts, too.
                    if run == self.run && self.probes.get(index).is_some_and(|probe| probe.to == *namespace) {
                        self.arrived[index] = true;
                    }
                }
            }
        }
    }
}

/// The next packet at a raw socket, as its token if it is a probe; `None` where nothing waits.
fn receive(transport: Transport, v6: bool, socket: &Socket) -> Option<Option<Token>> {
    let mut buffer = [0; 128];
    let length = loop {
        match (&*socket).read(&mut buffer) {
            Ok(length) => break length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    };
    Some(token_of(transport, v6, &buffer[..length]))
}

fn token_of(transport: Transport, v6: bool, bytes: &[u8]) -> Option<Token> {
    // IPv4 raw sockets give the IP header, too.
    let header = if v6 { 0 } else { usize::from(bytes.first()? & 15) * 4 };
    let packet = bytes.get(header..)?;
    match transport {
        Transport::Tcp => None,
        Transport::Udp => packets::token_of_udp(packet),
        Transport::Sctp => packets::token_of_sctp(packet),
        Transport::Icmp => packets::token_of_echo(packet),
    }
}

/// A refusal comes from the destination too: the packet has arrived. "No route" and the like come from elsewhere.
fn has_arrived(socket: &Socket) -> bool {
    match socket.take_error() {
        Ok(None) => true,
        Ok(Some(error)) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset),
        Err(_) => false,
    }
}

fn describe(probe: &Probe) -> String {
    let Probe { from_ip, to_ip, transport, port, .. } = probe;
    format!("cannot send {} from {from_ip} to {to_ip}", transport.at(*port))
}
