//! The ring of events.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::{MapData, RingBuf};
use common::abi::{Address, Event, TenantId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::kernel::{Pins, pinned};

/// Reads the events of one datapath. Each event has one reader: two would take them from each other.
pub struct EventReader {
    ring: RingBuf<MapData>,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader").finish_non_exhaustive()
    }
}

impl EventReader {
    /// Opens the ring of a datapath that has been set up.
    ///
    /// # Errors
    /// There is none.
    pub fn open(pins: &Pins) -> Result<Self> {
        let map = pinned(&pins.maps().join("EVENTS"))?;
        Ok(Self { ring: RingBuf::try_from(map).context("the map EVENTS is no ring buffer")? })
    }

    /// Waits for events, no longer than `timeout`, and returns all that are there: none after a timeout.
    ///
    /// # Errors
    /// An entry is not of this version's layout.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<Event>> {
        let events = self.next_batch()?;
        if !events.is_empty() {
            return Ok(events);
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut wait = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
        poll(&mut wait, timeout).context("cannot wait for events")?;
        self.next_batch()
    }

    /// The events that are there now, oldest first.
    ///
    /// # Errors
    /// As [`EventReader::poll`].
    pub fn next_batch(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(entry) = self.ring.next() {
            events.push(decode(&entry)?);
        }
        Ok(events)
    }
}

impl AsFd for EventReader {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// The bytes of an entry, field by field in the order of the layout.
fn decode(entry: &[u8]) -> Result<Event> {
    let size = size_of::<Event>();
    ensure!(entry.len() == size, "an event of {} bytes where this version has {size}", entry.len());
    let mut rest = Fields(entry);
    Ok(Event {
        time: u64::from_ne_bytes(rest.take()?),
        source: rest.address()?,
        destination: rest.address()?,
        endpoint: u32::from_ne_bytes(rest.take()?),
        rule: u32::from_ne_bytes(rest.take()?),
        source_tenant: TenantId(u32::from_ne_bytes(rest.take()?)),
        destination_tenant: TenantId(u32::from_ne_bytes(rest.take()?)),
        length: u32::from_ne_bytes(rest.take()?),
        source_mac: rest.take()?,
        source_port: u16::from_ne_bytes(rest.take()?),
        destination_port: u16::from_ne_bytes(rest.take()?),
        ether_type: u16::from_ne_bytes(rest.take()?),
        protocol: u8::from_ne_bytes(rest.take()?),
        direction: u8::from_ne_bytes(rest.take()?),
        reason: u8::from_ne_bytes(rest.take()?),
        audited: u8::from_ne_bytes(rest.take()?),
        hook: u8::from_ne_bytes(rest.take()?),
        _zero: rest.take()?,
    })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().context("an event that is too short")?;
        self.0 = rest;
        Ok(*field)
    }

    fn address(&mut self) -> Result<Address> {
        let words = [self.take()?, self.take()?, self.take()?, self.take()?];
        Ok(Address { words: words.map(u32::from_ne_bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_event_is_found() {
        let entry: Vec<u8> = (0..80).collect();
        let event = decode(&entry).expect("an event");
        assert_eq!(event.time.to_ne_bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(event.source.octets()[..4], [8, 9, 10, 11]);
        assert_eq!(event.destination.octets()[12..], [36, 37, 38, 39]);
        assert_eq!(event.endpoint.to_ne_bytes(), [40, 41, 42, 43]);
        assert_eq!(event.destination_tenant.0.to_ne_bytes(), [52, 53, 54, 55]);
        assert_eq!(event.source_mac, [60, 61, 62, 63, 64, 65]);
        assert_eq!(event.destination_port.to_ne_bytes(), [68, 69]);
        assert_eq!((event.protocol, event.direction, event.reason, event.audited), (72, 73, 74, 75));
        assert_eq!((event.hook, event._zero), (76, [77, 78, 79]));
    }

    #[test]
    fn an_entry_of_another_size_is_an_error() {
        decode(&[0; 79]).expect_err("too short");
        decode(&[0; 81]).expect_err("too long");
    }
}
