//! The host's side of the comparison: compiled tables and ordinary maps under the same `decide` as in the kernel.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use common::abi::{
    Address, AllowReason, Backend, Backends, DelegateKey, Direction, DirectionRules, Endpoint, FlowEntry, FlowKey,
    FlowState, FragmentKey, FragmentPorts, Interface, Lead, NatKey, Peer, PortRow, Profile, ProgramRef, RuleKey,
    ServiceKey, Settings, TenantId, Ticks,
};
use common::decide::{
    Addresses, Decided, Look, Rules, Seen, Verdict, check, check_brief, judge_open, look, quote, read_closely, recount,
    settle, track,
};
use common::parse::{Arrival, Packet};
use ipnet::IpNet;
use policy::compile::Tables;

static UNWRITTEN: Profile = Profile {
    rules: [DirectionRules { none: ProgramRef(0), set: 0, flags: 0 }; 2],
    tenant: TenantId::PLATFORM,
    mode: 0,
    agent_port: 0,
    written: 0,
};

/// A node whose maps are ordinary ones.
#[derive(Debug, Default)]
pub struct HostNode {
    pub tables: Tables,
    pub settings: Settings,
    pub epoch: u64,
    pub now: Ticks,
    flows: HashMap<FlowKey, FlowEntry>,
    fragments: HashMap<FragmentKey, FragmentPorts>,
    nat_flows: HashMap<NatKey, FlowEntry>,
    nat_entered: RefCell<Vec<(NatKey, FlowEntry)>>,
    /// What the packet at hand found, as it found it.
    found: RefCell<Vec<(FlowKey, FlowEntry)>>,
    /// What the packet at hand entered; it is not looked up again before the next one.
    entered: RefCell<Vec<(FlowKey, FlowEntry)>>,
    kept: RefCell<Vec<(FragmentKey, FragmentPorts)>>,
    /// The content of the programs' map `SEEN`: the last packet that anything was written down about.
    pub written_down: Option<Seen>,
}

/// What a packet did to the node: the flows that it found, as it left them, and what it entered.
#[derive(Debug, PartialEq)]
struct Traces {
    flows: Vec<(FlowKey, FlowEntry)>,
    entered: Vec<(FlowKey, FlowEntry)>,
    kept: Vec<(FragmentKey, FragmentPorts)>,
}

impl HostNode {
    #[must_use]
    pub fn new(tables: Tables) -> Self {
        Self { tables, epoch: 1, ..Self::default() }
    }

    /// Decides about a frame at a hook, at length and by the short cut for plain packets.
    ///
    /// # Panics
    /// Where the two differ.
    pub fn run(&mut self, direction: Direction, frame: &HostFrame) -> Seen {
        let mut at_length = Seen::EMPTY;
        self.decide_at_length(direction, frame, &mut at_length);
        let traces = self.traces();
        self.undo();
        let mut seen = self.written_down.unwrap_or(Seen::EMPTY);
        match look(direction, frame, self, || Some(&mut seen)) {
            Look::Held => {
                assert_eq!(at_length.outcome.verdict, Verdict::Allow(AllowReason::Established), "{frame:?}");
            }
            Look::Miscounted => {
                assert_eq!(at_length.outcome.verdict, Verdict::Allow(AllowReason::Established), "{frame:?}");
                recount(self, &seen);
            }
            Look::Open(seen) => {
                self.conclude(Decided::Open, direction, frame, seen);
                assert!(seen.is_brief());
                let whole = Seen { frame: at_length.frame, datagram: at_length.datagram, ..*seen };
                assert_eq!(at_length, whole, "{frame:?}");
            }
            Look::Unusual => {
                self.decide_at_length(direction, frame, &mut seen);
                assert_eq!(at_length, seen, "{frame:?}");
            }
        }
        assert_eq!(traces, self.traces(), "{frame:?}");
        self.written_down = Some(seen);
        self.found.take();
        self.flows.extend(self.entered.take());
        self.fragments.extend(self.kept.take());
        at_length
    }

    fn decide_at_length(&self, direction: Direction, frame: &HostFrame, seen: &mut Seen) {
        let read = read_closely(frame, seen);
        let mut decided = check(direction, frame, read, self, seen);
        if decided == Decided::Sound {
            if seen.is_error() {
                quote(direction, frame, self, seen);
            }
            decided = track(direction, frame, self, seen);
        }
        self.conclude(decided, direction, frame, seen);
    }

    fn conclude(&self, decided: Decided, direction: Direction, frame: &HostFrame, seen: &mut Seen) {
        if decided == Decided::Open {
            judge_open(direction, frame.arrival(), self, seen);
        }
        check_brief(direction, frame, seen);
        if seen.is_unsettled() {
            settle(direction, self, seen);
        }
        if seen.outcome.undecided && direction == Direction::Egress {
            frame.leave_undecided();
        }
    }

    fn traces(&self) -> Traces {
        let flows = self.found.borrow().iter().map(|(key, _)| (*key, self.flows[key].clone())).collect();
        Traces { flows, entered: self.entered.borrow().clone(), kept: self.kept.borrow().clone() }
    }

    /// As if the packet at hand had not been.
    fn undo(&self) {
        for (key, before) in self.found.take().into_iter().rev() {
            self.flows[&key].epoch.set(before.epoch.get());
            self.flows[&key].state.set(before.state.get());
        }
        self.entered.take();
        self.kept.take();
    }

    /// Forgets every flow and fragment.
    pub fn forget(&mut self) {
        self.flows.clear();
        self.fragments.clear();
    }
}

impl Rules for HostNode {
    fn rule(&self, key: &RuleKey) -> Option<ProgramRef> {
        self.tables.rules.get(key).copied()
    }

    fn port_row(&self, row: u32) -> Option<&PortRow> {
        self.tables.ports.get(&row)
    }
}

impl Addresses for HostNode {
    fn peer(&self, address: &Address) -> Option<Peer> {
        self.tables.peers.get(address).copied()
    }

    fn range(&self, address: &Address) -> Option<Peer> {
        let ip = std::net::IpAddr::from(*address);
        let holding = self.tables.ranges.iter().filter(|(range, _)| range.contains(&ip));
        holding.max_by_key(|(range, _): &(&IpNet, _)| range.prefix_len()).map(|(_, peer)| *peer)
    }

    fn service(&self, key: &ServiceKey) -> Option<Lead> {
        self.tables.services.get(key).copied()
    }

    fn backends(&self, number: u32) -> Option<&Backends> {
        // As with profiles.
        Some(self.tables.backends.get(&number).unwrap_or(&Backends::UNKNOWN))
    }

    fn delegate(&self, key: &DelegateKey) -> Option<Backend> {
        self.tables.delegates.get(key).copied()
    }
}

impl common::decide::Tables for HostNode {
    fn settings(&self) -> Settings {
        self.settings
    }

    fn is_after_dnat(&self) -> bool {
        self.settings.after_dnat != 0
    }

    fn time(&self) -> u64 {
        u64::from(self.now) << 27
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn interface(&self, ifindex: u32) -> Option<Interface> {
        self.tables.interfaces.get(&ifindex).copied()
    }

    fn endpoint(&self, slot: u32) -> Option<&Endpoint> {
        self.tables.endpoints.get(&slot)
    }

    fn profile(&self, index: u64) -> Option<&Profile> {
        // An array has every record; one that was never written is zero.
        let written = u32::try_from(index).ok().and_then(|index| self.tables.profiles.get(&index));
        Some(written.unwrap_or(&UNWRITTEN))
    }

    fn flow(&self, key: &FlowKey) -> Option<&FlowEntry> {
        let entry = self.flows.get(key)?;
        self.found.borrow_mut().push((*key, entry.clone()));
        Some(entry)
    }

    fn insert_flow(&self, key: &FlowKey, entry: &FlowEntry) -> bool {
        self.entered.borrow_mut().push((*key, entry.clone()));
        true
    }

    /// There is room for every flow of every endpoint.
    fn enter_ring(&self, _slot: u32, _key: &FlowKey) -> bool {
        true
    }

    fn count_flow(&self, _slot: u32, _key: &FlowKey, state: FlowState) -> FlowState {
        FlowState(state.0 ^ FlowState::COUNTED)
    }

    fn is_tunnel_port(&self, port: u16) -> bool {
        self.tables.is_tunnel_port(port)
    }

    fn local(&self, address: &Address) -> Option<u32> {
        self.tables.locals.get(address).copied()
    }

    fn nat_flow(&self, key: &NatKey) -> Option<&FlowEntry> {
        self.nat_flows.get(key)
    }

    fn insert_nat_flow(&self, key: &NatKey, entry: &FlowEntry) -> bool {
        self.nat_entered.borrow_mut().push((*key, entry.clone()));
        true
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        self.fragments.get(key).copied()
    }

    fn insert_fragment(&self, key: &FragmentKey, ports: FragmentPorts) -> bool {
        self.kept.borrow_mut().push((*key, ports));
        true
    }
}

/// A frame, and where it is seen.
#[derive(Clone, Debug)]
pub struct HostFrame {
    pub bytes: Vec<u8>,
    pub ifindex: u32,
    pub ingress_ifindex: u32,
    looked_at: Cell<u32>,
    left_undecided: Cell<bool>,
}

impl HostFrame {
    #[must_use]
    pub fn new(bytes: Vec<u8>, ifindex: u32, ingress_ifindex: u32) -> Self {
        Self { bytes, ifindex, ingress_ifindex, looked_at: Cell::new(0), left_undecided: Cell::new(false) }
    }

    /// Whether it was left to be judged behind the node's rewriting.
    #[must_use]
    pub fn left_undecided(&self) -> bool {
        self.left_undecided.get()
    }

    /// The end of the last byte that was asked for one by one.
    #[must_use]
    pub fn looked_at(&self) -> u32 {
        self.looked_at.get()
    }
}

impl Packet for HostFrame {
    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]> {
        let pairs = self.bytes.get(OFFSET..)?.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
        pairs.take(N).collect::<Vec<_>>().try_into().ok()
    }

    fn words<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]> {
        let words = self.bytes.get(OFFSET..)?.as_chunks().0.iter().copied().map(u32::from_ne_bytes);
        words.take(N).collect::<Vec<_>>().try_into().ok()
    }

    fn near_halves<const OFFSET: usize, const N: usize>(&self) -> Option<[u16; N]> {
        self.halves::<OFFSET, N>()
    }

    fn near<const OFFSET: usize, const N: usize>(&self) -> Option<[u32; N]> {
        self.words::<OFFSET, N>()
    }

    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(N)?;
        self.looked_at.set(self.looked_at.get().max(u32::try_from(end).ok()?));
        self.bytes.get(start..end)?.try_into().ok()
    }

    fn has_vlan_tag(&self) -> bool {
        false
    }

    /// `BPF_PROG_TEST_RUN` gives every packet a socket.
    fn arrival(&self) -> Arrival {
        Arrival { ifindex: self.ifindex, ingress_ifindex: self.ingress_ifindex, has_socket: true }
    }

    /// `BPF_PROG_TEST_RUN` gives no packet a checksum that is still to be made.
    fn checksum_place(&self) -> Option<u32> {
        None
    }

    fn leave_undecided(&self) {
        self.left_undecided.set(true);
    }
}
