//! Every map of the datapath: its kind, key, value and default capacity.
//!
//! The agent creates the maps from these definitions, pins them in a folder named by
//! `common::abi::VERSION`, and may raise the capacities (its `MapCapacities`).
//!
//! Maps that policy writes and that can grow large are not preallocated: empty they cost next to nothing,
//! and what a packet reads of them is one aligned word that is copied at once.

use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use common::abi::{
    Backend, Backends, ChecksumLayout, Clock, Counter, DelegateKey, DropKey, DropRow, Endpoint, FlowKey, FlowLimits,
    FlowPlace, FlowShare, FlowTotals, FragmentKey, KernelLayout, NatKey, PortRow, Profile, RuleKey, ServiceKey,
    Settings, TUNNEL_WORDS, Told, Traffic,
};
use common::decide::Seen;

/// Fixed when the programs are loaded.
#[unsafe(no_mangle)]
pub static SETTINGS: Global<Settings> = Global::new(Settings {
    ephemeral_first: 32768,
    ephemeral_last: 60999,
    allow_tunnels: 0,
    events_per_second: 1000,
    after_dnat: 0,
});

/// The 32-bit field of [`SETTINGS`] at this offset: to load the whole for it would read every field, since the compiler
/// takes the value for one that may change.
#[inline(always)]
pub fn setting(offset: usize) -> u32 {
    let settings = (&raw const SETTINGS).cast::<u8>();
    // SAFETY: a `Global` is its value, nothing writes to it, and the callers' offsets are those of aligned fields.
    unsafe { settings.add(offset).cast::<u32>().read_volatile() }
}

/// Fixed when the programs are loaded, as this kernel has it.
#[unsafe(no_mangle)]
pub static CLOCK: Global<Clock> = Global::new(Clock::new(4_000_000));

/// Fixed when the programs are loaded, as this kernel has it.
#[unsafe(no_mangle)]
pub static LAYOUT: Global<KernelLayout> = Global::new(KernelLayout {
    nfct: 0,
    tc_index: 0,
    skb_iif: 0,
    len: 0,
    data_len: 0,
    head: 0,
    network_header: 0,
    tuples: 0,
    status: 0,
    hook: 0,
    pf: 0,
});

/// Fixed when the programs are loaded, as this kernel has it.
#[unsafe(no_mangle)]
pub static CHECKSUM: Global<ChecksumLayout> = Global::new(ChecksumLayout::UNKNOWN);

/// Fixed when the programs are loaded, by the sizes of the maps.
#[unsafe(no_mangle)]
pub static FLOW_LIMITS: Global<FlowLimits> = Global::new(FlowLimits::new(524_288, 1024));

/// Raised whenever an earlier allow may no longer hold.
#[map]
pub static EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// `common::abi::Interface` words, by interface index modulo 4096.
#[map]
pub static SLOT: Array<u64> = Array::with_max_entries(4096, 0);

/// The same for an interface whose place in `SLOT` is taken.
#[map]
pub static SLOT_OVERFLOW: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);

/// By slot.
#[map]
pub static ENDPOINT: Array<Endpoint> = Array::with_max_entries(1024, 0);

/// Slots of local pods by IPv4 address, network byte order.
#[map]
pub static LOCAL_V4: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

/// The same by IPv6 address.
#[map]
pub static LOCAL_V6: HashMap<[u32; 4], u32> = HashMap::with_max_entries(1024, 0);

/// By the index that `Endpoint::profile` names.
#[map]
pub static PROFILE: Array<Profile> = Array::with_max_entries(8192, 0);

/// UDP ports at which nodes open tunnel packets: `common::abi::tunnel_bit`.
#[map]
pub static TUNNEL: Array<u64> = Array::with_max_entries(TUNNEL_WORDS, 0);

/// `common::abi::Peer` words by IPv4 address, network byte order.
#[map]
pub static PEER_V4: HashMap<u32, u64> = HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);

/// The same by IPv6 address.
#[map]
pub static PEER_V6: HashMap<[u32; 4], u64> = HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);

/// `common::abi::Peer` words by IPv4 prefix.
#[map]
pub static RANGE_V4: LpmTrie<u32, u64> = LpmTrie::with_max_entries(131_072, 0);

/// The same by IPv6 prefix.
#[map]
pub static RANGE_V6: LpmTrie<[u32; 4], u64> = LpmTrie::with_max_entries(131_072, 0);

/// `common::abi::Lead` words by what is called.
#[map]
pub static SERVICE: HashMap<ServiceKey, u64> = HashMap::with_max_entries(98_304, BPF_F_NO_PREALLOC);

/// By the number that `SERVICE` has.
#[map]
pub static BACKENDS: Array<Backends> = Array::with_max_entries(98_304, 0);

/// By backends and caller: the backend that is asked for all of them.
#[map]
pub static DELEGATE: HashMap<DelegateKey, Backend> = HashMap::with_max_entries(98_304, BPF_F_NO_PREALLOC);

/// `common::abi::ProgramRef` words: which program a set has for a peer.
#[map]
pub static RULE: HashMap<RuleKey, u64> = HashMap::with_max_entries(1_048_576, BPF_F_NO_PREALLOC);

/// The rows of all programs.
#[map]
pub static PORT: Array<PortRow> = Array::with_max_entries(262_144, 0);

/// The two words of a `common::abi::FlowEntry`, epoch and state.
///
/// Half of them are established, for the other half `RING` has places. Preallocated (56 MiB): a flood takes no memory that
/// the agent needs, and to enter a flow takes 20 ns less.
#[map]
pub static FLOW: HashMap<FlowKey, [u64; 2]> = HashMap::with_max_entries(524_288, 0);

/// Places of the flows that are not established.
#[map]
pub static RING: Array<FlowPlace> = Array::with_max_entries(262_144, 0);

/// By slot.
#[map]
pub static FLOW_SHARE: Array<FlowShare> = Array::with_max_entries(1024, 0);

/// One row.
#[map]
pub static FLOW_TOTALS: Array<FlowTotals> = Array::with_max_entries(1, 0);

/// Of flows that the node rewrites, by their true ends: the same two words.
#[map]
pub static NAT_FLOW: LruHashMap<NatKey, [u64; 2]> = LruHashMap::with_max_entries(65_536, 0);

/// `common::abi::FragmentPorts` words.
#[map]
pub static FRAGMENT: LruHashMap<FragmentKey, u64> = LruHashMap::with_max_entries(65_536, 0);

/// By the lower bits of the endpoint's id: how many first fragments it entered in which second.
#[map]
pub static FRAGMENTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1024, 0);

/// What drops are counted in, each key in its own place (`DropKey::place`).
#[map]
pub static DROPS_DIRECT: PerCpuArray<DropRow> = PerCpuArray::with_max_entries(DropRow::COUNT, 0);

/// The counters of the keys whose place another has taken. The overflow rows (`DropKey::overflow`) exist from the start.
#[map]
pub static DROPS: PerCpuHashMap<DropKey, Traffic> = PerCpuHashMap::with_max_entries(8192, 0);

/// By direction.
#[map]
pub static FORWARDED: PerCpuArray<Traffic> = PerCpuArray::with_max_entries(2, 0);

/// By `common::abi::Counter`.
#[map]
pub static COUNTER: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// By slot: what has been told of an endpoint's drops in this second, and what has not been in all.
#[map]
pub static TOLD: PerCpuArray<Told> = PerCpuArray::with_max_entries(1024, 0);

/// The token bucket of what events tell beyond that.
#[map]
pub static BUDGET: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// `common::abi::Event` entries.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(512 * 1024, 0);

/// What a number stands for: kind and number to a digest. No program reads it; a restarted agent does.
#[map]
pub static IDS: HashMap<[u32; 2], [u8; 16]> = HashMap::with_max_entries(1_048_576, BPF_F_NO_PREALLOC);

/// What a program has read of its packet; of no interest to the agent.
#[map]
pub static SEEN: PerCpuArray<Seen> = PerCpuArray::with_max_entries(1, 0);
