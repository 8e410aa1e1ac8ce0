//! Sockets at the two ends of probes, opened in the ends' network namespaces, where they stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Probe, Transport};
use crate::net::NetNs;

/// As many connections as a listener may have that nobody has accepted yet.
const BACKLOG: i32 = 4096;
/// Bytes that may wait at a raw socket.
const BUFFER: usize = 4 << 20;

/// What stands ready at one destination.
#[derive(Debug, Default)]
pub struct Receivers {
    /// TCP; connections are complete before they are accepted.
    pub listeners: Vec<Socket>,
    /// Held open so that datagrams have somewhere to go.
    pub datagrams: Vec<Socket>,
    /// See every packet of their protocol and family that the namespace receives.
    pub raw: Vec<(Transport, bool, Socket)>,
}

/// What one source sends from: one socket for each of its addresses and kinds of packet.
#[derive(Debug, Default)]
pub struct Senders {
    sockets: BTreeMap<(IpAddr, Transport), Socket>,
}

impl Receivers {
    /// Opens what `probes`, all to one namespace, need.
    pub fn open(namespace: &NetNs, probes: &[&Probe]) -> Result<Self> {
        let ends: BTreeSet<_> = probes.iter().map(|probe| (probe.to_ip, probe.transport, probe.port)).collect();
        namespace.run(|| {
            let mut receivers = Self::default();
            for (address, transport, port) in &ends {
                receivers.stand_ready(SocketAddr::new(*address, *port), *transport).with_context(|| {
                    format!("cannot listen on {address} {} in {}", transport.at(*port), namespace.path().display())
                })?;
            }
            Ok(receivers)
        })?
    }

    fn stand_ready(&mut self, address: SocketAddr, transport: Transport) -> Result<()> {
        match transport {
            Transport::Tcp => self.listeners.extend(listen(address, Type::STREAM)?),
            Transport::Udp => {
                self.datagrams.extend(listen(address, Type::DGRAM)?);
                self.watch(Transport::Udp, address.is_ipv6())?;
            }
            Transport::Sctp | Transport::Icmp => self.watch(transport, address.is_ipv6())?,
        }
        Ok(())
    }

    fn watch(&mut self, transport: Transport, v6: bool) -> Result<()> {
        if !self.raw.iter().any(|(other, family, _)| (*other, *family) == (transport, v6)) {
            let socket = raw(transport, v6)?;
            socket.set_recv_buffer_size(BUFFER)?;
            self.raw.push((transport, v6, socket));
        }
        Ok(())
    }

    /// Takes and ends every connection that waits to be accepted.
    pub fn hang_up(&self) {
        for listener in &self.listeners {
            while let Ok((connection, _)) = listener.accept() {
                // A reset leaves nothing behind; that it may fail on a dead connection does not matter.
                let _ = connection.set_linger(Some(Duration::ZERO));
            }
        }
    }
}

impl Senders {
    /// Opens what `probes`, all from one namespace, need; TCP needs a socket for each and is opened by [`dial`].
    pub fn open(namespace: &NetNs, probes: &[&Probe]) -> Result<Self> {
        let ends: BTreeSet<_> = probes.iter().map(|probe| (probe.from_ip, probe.transport)).collect();
        let ends = ends.into_iter().filter(|(_, transport)| *transport != Transport::Tcp);
        let sockets = namespace.run(|| {
            ends.map(|(address, transport)| {
                let socket = match transport {
                    Transport::Udp => Socket::new(domain(address.is_ipv6()), Type::DGRAM.nonblocking(), None)?,
                    Transport::Tcp | Transport::Sctp | Transport::Icmp => raw(transport, address.is_ipv6())?,
                };
                socket.bind(&SocketAddr::new(address, 0).into())?;
                Ok(((address, transport), socket))
            })
            .collect::<io::Result<BTreeMap<_, _>>>()
        })?;
        let sockets = sockets.with_context(|| format!("cannot send from {}", namespace.path().display()))?;
        Ok(Self { sockets })
    }

    /// The socket for probes of this kind from this address.
    pub fn socket(&self, from: IpAddr, transport: Transport) -> Result<&Socket> {
        self.sockets.get(&(from, transport)).with_context(|| format!("no socket to send from {from}"))
    }
}

/// Opens a TCP socket for each of `probes`, all from one namespace, bound to its source.
pub fn dial(namespace: &NetNs, probes: &[&Probe]) -> Result<Vec<Socket>> {
    let sockets = namespace.run(|| {
        let open = |probe: &&Probe| {
            let socket = Socket::new(domain(probe.from_ip.is_ipv6()), Type::STREAM.nonblocking(), None)?;
            socket.set_linger(Some(Duration::ZERO))?;
            socket.bind(&SocketAddr::new(probe.from_ip, 0).into())?;
            Ok(socket)
        };
        probes.iter().map(open).collect::<io::Result<Vec<_>>>()
    })?;
    sockets.with_context(|| format!("cannot connect from {}", namespace.path().display()))
}

/// `None` where a process of the pod already listens: then it is the listener.
fn listen(address: SocketAddr, kind: Type) -> io::Result<Option<Socket>> {
    let socket = Socket::new(domain(address.is_ipv6()), kind.nonblocking(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    match socket.bind(&address.into()) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(None),
        other => other?,
    }
    if kind == Type::STREAM {
        match socket.listen(BACKLOG) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(None),
            other => other?,
        }
    }
    Ok(Some(socket))
}

fn raw(transport: Transport, v6: bool) -> io::Result<Socket> {
    let protocol = match (transport, v6) {
        (Transport::Tcp, _) => Protocol::TCP,
        (Transport::Udp, _) => Protocol::UDP,
        (Transport::Sctp, _) => Protocol::SCTP,
        (Transport::Icmp, false) => Protocol::ICMPV4,
        (Transport::Icmp, true) => Protocol::ICMPV6,
    };
    Socket::new(domain(v6), Type::RAW.nonblocking(), Some(protocol))
}

const fn domain(v6: bool) -> Domain {
    if v6 { Domain::IPV6 } else { Domain::IPV4 }
}
