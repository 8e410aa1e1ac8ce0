//! Drop events, by the probe that was dropped.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;

use crate::events::{Directory, DropRecord, EventReader};
use crate::lab::probe::{Probe, Transport};

/// Protocol, addresses and destination port.
type Flow = (Transport, IpAddr, IpAddr, u16);

/// What the kernel said while probes were under way.
#[derive(Debug)]
pub struct Drops<'a> {
    reader: EventReader,
    directory: Directory<'a>,
    seen: HashMap<Flow, DropRecord>,
}

impl<'a> Drops<'a> {
    /// Starts to listen: what was said before is passed over.
    pub fn new(mut reader: EventReader, directory: Directory<'a>) -> Result<Self> {
        reader.next_batch()?;
        Ok(Self { reader, directory, seen: HashMap::new() })
    }

    /// Takes in what has been said since the last call. The first event of a flow counts: a SYN is sent again.
    pub fn read(&mut self) -> Result<()> {
        for event in self.reader.next_batch()? {
            let record = self.directory.enrich(&event)?;
            if let (None, Some(flow)) = (record.audited, flow(&record)) {
                self.seen.entry(flow).or_insert(record);
            }
        }
        Ok(())
    }

    /// Why a probe was dropped, as far as the kernel has said.
    pub fn of(&self, probe: &Probe) -> Option<&DropRecord> {
        self.seen.get(&(probe.transport, probe.from_ip, probe.to_ip, probe.port))
    }
}

fn flow(record: &DropRecord) -> Option<Flow> {
    let transport = match record.protocol.as_str() {
        "ICMPv6" => Transport::Icmp,
        name => Transport::ALL.into_iter().find(|transport| transport.name() == name)?,
    };
    Some((transport, record.source.ip?, record.destination.ip?, record.destination.port.unwrap_or(0)))
}
