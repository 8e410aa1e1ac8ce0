//! Ends of Services as kinds: what each end is to policy, with the port that it is called at, each once.
//!
//! Every endpoint that is listed counts, ready or not: another program picks one, at another moment. One that is not
//! ready and whose pod nobody knows is on its way out; it counts only where a node may pick it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use common::abi::{Address, Backend, Backends, Peer, PeerKind, PortKey};

use super::Tables;
use super::hash::{HashMap, HashSet};
use super::rewrites::{Claim, Door, Leads, Listed, Owner, Rewrites};
use crate::model::EndpointSlice;

/// All that is behind an address and port.
#[derive(Default, Hash)]
pub(super) struct Behind {
    alone: Alone,
    pub(super) kinds: BTreeSet<Backend>,
}

/// The addresses behind something, as far as it matters.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Alone {
    #[default]
    None,
    One(IpAddr),
    Several,
}

impl Alone {
    fn add(&mut self, other: Self) {
        *self = match (*self, other) {
            (Self::None, other) => other,
            (own, Self::None) => own,
            (own, other) if own == other => own,
            _ => Self::Several,
        };
    }
}

impl Behind {
    pub(super) fn record(&self) -> Backends {
        let alone = match self.alone {
            Alone::One(address) => Address::from(address),
            Alone::None | Alone::Several => Backends::UNKNOWN.alone,
        };
        let mut kinds = self.kinds.iter();
        match (kinds.next(), kinds.next()) {
            (Some(&only), None) => Backends { alone, only, kinds: Backends::ONE },
            (_, Some(_)) => Backends { alone, kinds: Backends::SEVERAL, ..Backends::UNKNOWN },
            (None, None) => Backends::UNKNOWN,
        }
    }

    fn add(&mut self, found: &Found, port: u16) {
        self.alone.add(found.alone);
        self.kinds.extend(found.words.iter().map(|word| Backend::new(*word, port)));
    }
}

/// What some endpoints are, each word once.
#[derive(Default)]
struct Found {
    alone: Alone,
    words: BTreeSet<Peer>,
}

impl Found {
    fn add(&mut self, address: IpAddr, word: Peer) {
        self.alone.add(Alone::One(address));
        self.words.insert(word);
    }
}

/// The endpoints of a slice in one family.
#[derive(Default)]
struct Read {
    any_ready: bool,
    all: Found,
    /// Without those that are on their way out.
    staying: Found,
    /// Those that a node may rewrite again, at some port.
    called: Vec<(IpAddr, PeerKind)>,
}

/// Reads each slice once, however many ports lead to it.
pub(super) struct Ends<'a> {
    tables: &'a Tables,
    rewrites: &'a Rewrites<'a>,
    /// Addresses of pods at which something is called.
    claimed: HashSet<IpAddr>,
    /// By the slice's place in memory.
    known: HashMap<(*const EndpointSlice, bool), Rc<Read>>,
    /// Endpoints and kinds that were looked at.
    pub(super) work: usize,
}

impl<'a> Ends<'a> {
    pub(super) fn new(tables: &'a Tables, rewrites: &'a Rewrites<'a>) -> Self {
        let chosen = rewrites.called.iter().filter(|(_, called)| called.worst == Claim::Chosen);
        let chosen = chosen.map(|(key, _)| key).filter(|key| !key.is_of_any()).map(|key| key.address);
        let pods = chosen.filter(|address| tables.peers.get(address).is_some_and(|peer| peer.is_pod()));
        let claimed = pods.map(IpAddr::from).chain(rewrites.closed.iter().copied()).collect();
        Self { tables, rewrites, claimed, known: HashMap::default(), work: 0 }
    }

    /// Adds what is behind a door, for a protocol. `None` where nobody can tell.
    pub(super) fn add(&mut self, mut behind: Behind, door: &Door<'_>, protocol: u8) -> Option<Behind> {
        match (&door.leads, door.owner) {
            (Leads::Undecided, _) | (Leads::Pod(_), Owner::Service(_)) => return None,
            (Leads::Listed(slices), owner) => {
                self.add_slices(&mut behind, slices, (door.v4, protocol), owner.picks_any())?;
            }
            (Leads::Pod(port), Owner::Pod(pod)) => {
                let mut found = Found::default();
                for &address in pod.addresses.iter().filter(|address| address.is_ipv4() == door.v4) {
                    found.add(address, self.word(address));
                }
                behind.add(&found, *port);
            }
        }
        Some(behind)
    }

    /// kube-proxy picks an end that is not ready only where none is, or none on its own node (`CategorizeEndpoints`).
    /// `None` where an end is called itself.
    fn add_slices(
        &mut self,
        behind: &mut Behind,
        slices: &[Listed<'_>],
        (v4, protocol): (bool, u8),
        picks_any: bool,
    ) -> Option<()> {
        let read: Vec<(Rc<Read>, &Listed<'_>)> = slices.iter().map(|it| (self.read(it.slice, v4), it)).collect();
        let all = picks_any || !read.iter().any(|(read, _)| read.any_ready);
        for (read, listed) in &read {
            let port = PortKey::new(protocol, listed.port);
            self.work += 1 + read.called.len();
            if read.called.iter().any(|(address, kind)| self.rewrites.is_called(*address, *kind, port)) {
                return None;
            }
            let found = if all && !listed.is_departed { &read.all } else { &read.staying };
            self.work += found.words.len();
            behind.add(found, listed.port);
        }
        Some(())
    }

    fn read(&mut self, slice: &EndpointSlice, v4: bool) -> Rc<Read> {
        let key = (std::ptr::from_ref(slice), v4);
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let mut read = Read::default();
        for endpoint in slice.endpoints.iter().filter(|it| it.address.is_ipv4() == v4) {
            let word = self.word(endpoint.address);
            read.any_ready |= endpoint.ready;
            read.all.add(endpoint.address, word);
            if endpoint.ready || word.kind() != PeerKind::UnknownPod {
                read.staying.add(endpoint.address, word);
            }
            if !word.is_pod() || !self.claimed.is_empty() && self.claimed.contains(&endpoint.address) {
                read.called.push((endpoint.address, word.kind()));
            }
        }
        self.work += slice.endpoints.len();
        let read = Rc::new(read);
        self.known.insert(key, Rc::clone(&read));
        read
    }

    /// A pod is the same behind a Service, on whatever node.
    fn word(&self, address: IpAddr) -> Peer {
        let peer = self.tables.peer_of(address);
        if peer.kind() == PeerKind::LocalPod { peer.with_kind(PeerKind::Pod) } else { peer }
    }
}
