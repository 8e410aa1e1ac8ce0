//! Single writes to the maps: each is tried again before it fails, and says which map.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use common::abi::{
    Address, Backend, Backends, DelegateKey, Endpoint, Interface, Lead, Peer, PortRow, Profile, ProgramRef, RuleKey,
    ServiceKey, TenantId,
};
use ipnet::IpNet;
use nix::errno::Errno;
use policy::compile::{Digest, Id, Kind};

use super::{MapCapacities, Maps};

/// How long to wait before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];

impl Maps {
    /// Publishes an interface where the programs look first, or in the overflow where another has that place.
    pub(super) fn set_interface(&mut self, ifindex: u32, interface: Interface) -> Result<()> {
        let place = ifindex % self.slot.len();
        let held = Interface(self.slot.get(&place, 0).context("cannot read the map SLOT")?);
        if held.0 == 0 || held.ifindex() == ifindex {
            write("SLOT", || self.slot.set(place, interface.0, 0))?;
            remove("SLOT_OVERFLOW", || self.slot_overflow.remove(&ifindex))
        } else {
            write("SLOT_OVERFLOW", || self.slot_overflow.insert(ifindex, interface.0, 0))
        }
    }

    pub(super) fn remove_interface(&mut self, ifindex: u32) -> Result<()> {
        let place = ifindex % self.slot.len();
        let held = Interface(self.slot.get(&place, 0).context("cannot read the map SLOT")?);
        if held.ifindex() == ifindex {
            write("SLOT", || self.slot.set(place, 0, 0))?;
        }
        remove("SLOT_OVERFLOW", || self.slot_overflow.remove(&ifindex))
    }

    pub(super) fn set_endpoint(&mut self, slot: u32, endpoint: &Endpoint) -> Result<()> {
        write("ENDPOINT", || self.endpoint.set(slot, endpoint, 0))
    }

    pub(super) fn set_local(&mut self, address: Address, slot: u32) -> Result<()> {
        let words = address.words;
        if address.is_v4() {
            write("LOCAL_V4", || self.local_v4.insert(words[3], slot, 0))
        } else {
            write("LOCAL_V6", || self.local_v6.insert(words, slot, 0))
        }
    }

    pub(super) fn remove_local(&mut self, address: Address) -> Result<()> {
        if address.is_v4() {
            remove("LOCAL_V4", || self.local_v4.remove(&address.words[3]))
        } else {
            remove("LOCAL_V6", || self.local_v6.remove(&address.words))
        }
    }

    pub(super) fn set_profile(&mut self, index: u32, profile: &Profile) -> Result<()> {
        write("PROFILE", || self.profile.set(index, profile, 0))
    }

    pub(super) fn set_port(&mut self, row: u32, port: &PortRow) -> Result<()> {
        write("PORT", || self.port.set(row, port, 0))
    }

    pub(super) fn set_tunnels(&mut self, word: u32, ports: u64) -> Result<()> {
        write("TUNNEL", || self.tunnel.set(word, ports, 0))
    }

    pub(super) fn set_peer(&mut self, address: Address, peer: Peer) -> Result<()> {
        let words = address.words;
        if address.is_v4() {
            write("PEER_V4", || self.peer_v4.insert(words[3], peer.0, 0))
        } else {
            write("PEER_V6", || self.peer_v6.insert(words, peer.0, 0))
        }
    }

    pub(super) fn remove_peer(&mut self, address: Address) -> Result<()> {
        if address.is_v4() {
            remove("PEER_V4", || self.peer_v4.remove(&address.words[3]))
        } else {
            remove("PEER_V6", || self.peer_v6.remove(&address.words))
        }
    }

    pub(super) fn set_range(&mut self, range: IpNet, peer: Peer) -> Result<()> {
        match range {
            IpNet::V4(v4) => {
                let key = Key::new(u32::from(v4.prefix_len()), u32::from_ne_bytes(v4.network().octets()));
                write("RANGE_V4", || self.range_v4.insert(&key, peer.0, 0))
            }
            IpNet::V6(v6) => {
                let key = Key::new(u32::from(v6.prefix_len()), Address::v6(v6.network().octets()).words);
                write("RANGE_V6", || self.range_v6.insert(&key, peer.0, 0))
            }
        }
    }

    pub(super) fn remove_range(&mut self, range: IpNet) -> Result<()> {
        match range {
            IpNet::V4(v4) => {
                let key = Key::new(u32::from(v4.prefix_len()), u32::from_ne_bytes(v4.network().octets()));
                remove("RANGE_V4", || self.range_v4.remove(&key))
            }
            IpNet::V6(v6) => {
                let key = Key::new(u32::from(v6.prefix_len()), Address::v6(v6.network().octets()).words);
                remove("RANGE_V6", || self.range_v6.remove(&key))
            }
        }
    }

    pub(super) fn set_backends(&mut self, number: u32, backends: &Backends) -> Result<()> {
        write("BACKENDS", || self.backends.set(number, backends, 0))
    }

    pub(super) fn set_delegate(&mut self, key: DelegateKey, backend: Backend) -> Result<()> {
        write("DELEGATE", || self.delegate.insert(key, backend, 0))
    }

    pub(super) fn remove_delegate(&mut self, key: DelegateKey) -> Result<()> {
        remove("DELEGATE", || self.delegate.remove(&key))
    }

    pub(super) fn set_service(&mut self, key: ServiceKey, lead: Lead) -> Result<()> {
        write("SERVICE", || self.service.insert(key, lead.0, 0))
    }

    pub(super) fn remove_service(&mut self, key: ServiceKey) -> Result<()> {
        remove("SERVICE", || self.service.remove(&key))
    }

    pub(super) fn set_rule(&mut self, key: RuleKey, program: ProgramRef) -> Result<()> {
        write("RULE", || self.rule.insert(key, program.0, 0))
    }

    pub(super) fn remove_rule(&mut self, key: RuleKey) -> Result<()> {
        remove("RULE", || self.rule.remove(&key))
    }

    pub(super) fn set_id(&mut self, id: Id, digest: Digest) -> Result<()> {
        let key = [id.kind as u32, id.number];
        write("IDS", || self.ids.insert(key, digest, 0))
    }

    /// What was counted under a tenant's number goes with it: whoever gets the number next has done nothing yet. An
    /// agent that ends in between finds the number still taken.
    pub(super) fn remove_id(&mut self, id: Id) -> Result<()> {
        if id.kind == Kind::Tenant {
            self.forget_counters(TenantId(id.number))?;
        }
        remove("IDS", || self.ids.remove(&[id.kind as u32, id.number]))
    }

    pub(super) fn set_epoch(&mut self, epoch: u64) -> Result<()> {
        write("EPOCH", || self.epoch.set(0, epoch, 0))
    }
}

/// Removing what is not there is no error: it is what was wanted.
pub(super) fn remove(map: &'static str, mut once: impl FnMut() -> Result<(), MapError>) -> Result<()> {
    write(map, || match once() {
        Err(error) if errno(&error) == Some(Errno::ENOENT) => Ok(()),
        result => result,
    })
}

fn write(map: &'static str, mut once: impl FnMut() -> Result<(), MapError>) -> Result<()> {
    let mut pauses = PAUSES.iter();
    loop {
        let Err(error) = once() else { return Ok(()) };
        // E2BIG is how a hash says so, ENOSPC how a trie does; an index beyond an array's end never reaches the kernel.
        let full = matches!(errno(&error), Some(Errno::E2BIG | Errno::ENOSPC));
        if full || matches!(error, MapError::OutOfBounds { .. }) {
            bail!("{}", too_small(map));
        }
        match pauses.next() {
            Some(&pause) => thread::sleep(pause),
            None => return Err(error).with_context(|| format!("the kernel refuses to write the map {map}")),
        }
    }
}

/// What to say about a map without room.
fn too_small(map: &str) -> String {
    match MapCapacities::default().setting(map) {
        Some((setting, _)) => format!("the map {map} is full: raise `{setting}`"),
        None => format!("the map {map} is full and its size is fixed: this is more than one node can enforce"),
    }
}

fn errno(error: &MapError) -> Option<Errno> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}
