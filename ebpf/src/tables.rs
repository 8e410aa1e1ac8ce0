//! The maps as [`Tables`].

use core::mem::offset_of;

use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::maps::lpm_trie::Key;
use common::abi::{
    Address, Backend, Backends, DelegateKey, Direction, Endpoint, FlowEntry, FlowKey, FlowState, FragmentKey,
    FragmentPorts, Interface, Lead, NatKey, Peer, PortKey, PortRow, Profile, ProgramRef, RuleKey, ServiceKey, Settings,
    tunnel_bit,
};
use common::decide::{
    Addresses, Behind, Call, Decision, Judgement, MaybeService, Question, Remote, Rules, Tables, Tiers, behind,
    judge_profile,
};

use crate::maps::{
    BACKENDS, CLOCK, DELEGATE, ENDPOINT, EPOCH, FLOW, FRAGMENT, FRAGMENTS, LOCAL_V4, LOCAL_V6, NAT_FLOW, PEER_V4,
    PEER_V6, PORT, PROFILE, RANGE_V4, RANGE_V6, RULE, SERVICE, SETTINGS, SLOT, SLOT_OVERFLOW, TUNNEL, setting,
};
use crate::shares::flow_share;

/// Entries of `SLOT` less one.
const SLOT_MASK: u32 = 4095;

/// The maps of the object.
pub struct Maps;

impl Rules for Maps {
    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<ProgramRef> {
        // SAFETY: a word of an entry that lives until the next grace period.
        unsafe { RULE.get(key) }.map(|word| ProgramRef(*word))
    }

    #[inline(always)]
    fn port_row(&self, row: u32) -> Option<&PortRow> {
        PORT.get(row)
    }
}

impl Addresses for Maps {
    #[inline(always)]
    fn peer(&self, address: &Address) -> Option<Peer> {
        // SAFETY: words of entries that live until the next grace period.
        unsafe {
            if address.is_v4() { PEER_V4.get(&address.words[3]) } else { PEER_V6.get(&address.words) }
                .map(|word| Peer(*word))
        }
    }

    #[inline(always)]
    fn range(&self, address: &Address) -> Option<Peer> {
        if address.is_v4() {
            RANGE_V4.get(&Key::new(32, address.words[3])).map(|word| Peer(*word))
        } else {
            RANGE_V6.get(&Key::new(128, address.words)).map(|word| Peer(*word))
        }
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<Lead> {
        // SAFETY: a word of an entry that lives until the next grace period.
        unsafe { SERVICE.get(key) }.map(|word| Lead(*word))
    }

    #[inline(always)]
    fn backends(&self, number: u32) -> Option<&Backends> {
        BACKENDS.get(number)
    }

    #[inline(always)]
    fn delegate(&self, key: &DelegateKey) -> Option<Backend> {
        // SAFETY: an entry that is written once, and lives until the next grace period.
        unsafe { DELEGATE.get(key) }.copied()
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.load()
    }

    #[inline(always)]
    fn is_after_dnat(&self) -> bool {
        setting(offset_of!(Settings, after_dnat)) != 0
    }

    #[inline(always)]
    fn time(&self) -> u64 {
        // SAFETY: takes no argument. The verifier makes a load of it.
        CLOCK.load().nanoseconds(unsafe { bpf_jiffies64() })
    }

    #[inline(always)]
    fn epoch(&self) -> u64 {
        // SAFETY: an aligned word of an array. Volatile, so that it is read here and not later.
        EPOCH.get_ptr(0).map_or(0, |epoch| unsafe { epoch.read_volatile() })
    }

    #[inline(always)]
    fn interface(&self, ifindex: u32) -> Option<Interface> {
        let word = Interface(*SLOT.get(ifindex & SLOT_MASK)?);
        if word.ifindex() == ifindex {
            return Some(word);
        }
        // SAFETY: a word of an entry that lives until the next grace period.
        unsafe { SLOT_OVERFLOW.get(&ifindex) }.map(|word| Interface(*word))
    }

    #[inline(always)]
    fn endpoint(&self, slot: u32) -> Option<&Endpoint> {
        ENDPOINT.get(slot)
    }

    #[inline(always)]
    fn profile(&self, index: u64) -> Option<&Profile> {
        PROFILE.get(index as u32)
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<&FlowEntry> {
        // SAFETY: `FlowEntry` is two cells of u64, and the kernel keeps the value's memory while the program runs.
        FLOW.get_ptr(key).map(|entry| unsafe { &*entry.cast::<FlowEntry>() })
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey, entry: &FlowEntry) -> bool {
        /// Only where there is none.
        const BPF_NOEXIST: u64 = 1;
        // SAFETY: a `FlowEntry` is two cells of u64.
        let value = unsafe { &*core::ptr::from_ref(entry).cast::<[u64; 2]>() };
        FLOW.insert(key, value, BPF_NOEXIST).is_ok()
    }

    #[inline(always)]
    fn enter_ring(&self, slot: u32, key: &FlowKey) -> bool {
        flow_share(slot, key, 0) != 0
    }

    #[inline(always)]
    fn count_flow(&self, slot: u32, key: &FlowKey, state: FlowState) -> FlowState {
        FlowState(flow_share(slot, key, state.0))
    }

    #[inline(always)]
    fn is_tunnel_port(&self, port: u16) -> bool {
        let (word, bit) = tunnel_bit(port);
        TUNNEL.get(word).is_none_or(|ports| *ports & bit != 0)
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        // SAFETY: a word of an entry that lives while the program runs.
        unsafe { FRAGMENT.get(key) }.map(|word| FragmentPorts(*word))
    }

    #[inline(always)]
    fn insert_fragment(&self, key: &FragmentKey, ports: FragmentPorts) -> bool {
        has_share(key.endpoint, self.time() >> 30) && FRAGMENT.insert(key, &ports.0, 0).is_ok()
    }

    #[inline(always)]
    fn local(&self, address: &Address) -> Option<u32> {
        // SAFETY: a word of an entry that lives until the next grace period.
        unsafe { if address.is_v4() { LOCAL_V4.get(&address.words[3]) } else { LOCAL_V6.get(&address.words) } }.copied()
    }

    #[inline(always)]
    fn nat_flow(&self, key: &NatKey) -> Option<&FlowEntry> {
        // SAFETY: as with `flow`.
        NAT_FLOW.get_ptr(key).map(|entry| unsafe { &*entry.cast::<FlowEntry>() })
    }

    #[inline(always)]
    fn insert_nat_flow(&self, key: &NatKey, entry: &FlowEntry) -> bool {
        NAT_FLOW.insert(key, &[entry.epoch.get(), entry.state.get()], 0).is_ok()
    }

    #[inline(always)]
    fn judge(&self, profile: u64, question: &Question) -> Judgement {
        let Question { peer, port, direction, tiers } = *question;
        of_word(judge_peer(profile, peer.0, u64::from(port.0) | (direction as u64) << 32 | (tiers as u64) << 33))
    }

    #[inline(always)]
    fn beyond(&self, known: Option<Peer>, address: &Address, port: PortKey) -> Remote {
        let [a, b, c, d] = address.words;
        let (front, back) = (u64::from(a) << 32 | u64::from(b), u64::from(c) << 32 | u64::from(d));
        let asked = u64::from(port.0) | u64::from(known.is_some()) << 32;
        let mut service = 0;
        let peer = remote_beyond(front, back, asked, known.map_or(0, |peer| peer.0), &mut service);
        Remote { peer: Peer(peer), service: MaybeService::of_word(service) }
    }

    #[inline(always)]
    fn behind(&self, slot: u32, call: &Call) -> Behind {
        let Call { end: Remote { peer, service }, port, opened } = call;
        let mut end = 0;
        let asked = u64::from(port.0) | u64::from(*opened) << 32;
        let found = behind_service(slot, peer.0, service.word(), asked, &mut end);
        let decision = match found >> 32 {
            0 => Decision::Asks,
            1 => Decision::Missing,
            2 => Decision::Itself,
            _ => Decision::Undecided,
        };
        Behind { decision, peer: Peer(end), port: PortKey(found as u32) }
    }
}

/// [`Tables::beyond`] as a global function. `front`, `back`: the words of the address, two in each. `asked`: bits 0–31 the
/// port, 32 that the address is `known`. `service` becomes [`MaybeService::word`]: it is memory of the caller, since a
/// function returns one word.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn remote_beyond(front: u64, back: u64, asked: u64, known: u64, service: *mut u64) -> u64 {
    let words = [(front >> 32) as u32, front as u32, (back >> 32) as u32, back as u32];
    let known = if asked >> 32 & 1 == 0 { None } else { Some(Peer(known)) };
    let remote = Remote::beyond(&Maps, known, &Address { words }, PortKey(asked as u32));
    if !service.is_null() {
        // SAFETY: the verifier holds the callers to a word of their own.
        unsafe { *service = remote.service.word() }
    }
    remote.peer.0
}

/// [`Tables::behind`] as a global function. `asked`: bits 0–31 the port, 32 that the pod alone can have opened the flow.
/// Returns the port in bits 0–31 and a [`Decision`] above; `end` becomes the [`Peer`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn behind_service(slot: u32, peer: u64, service: u64, asked: u64, end: *mut u64) -> u64 {
    let called = Remote { peer: Peer(peer), service: MaybeService::of_word(service) };
    let call = Call { end: called, port: PortKey(asked as u32), opened: asked >> 32 & 1 != 0 };
    let found = behind(&Maps, slot, &call);
    if !end.is_null() {
        // SAFETY: as above.
        unsafe { *end = found.peer.0 }
    }
    (found.decision as u64) << 32 | u64::from(found.port.0)
}

/// First fragments that an endpoint may enter in a second on one CPU: half of the table, so that those of others, whose
/// later fragments come within milliseconds, are still there. Two gigabits a second in datagrams of 8 KiB.
const FRAGMENTS_SHARE: u32 = 32_768;

/// Entries of `FRAGMENTS` less one.
const FRAGMENTS_MASK: u32 = 1023;

/// A bucket of one second: bits 0–31 what was entered, 32–63 the second.
#[inline(always)]
fn has_share(endpoint: u32, second: u64) -> bool {
    let Some(bucket) = FRAGMENTS.get_ptr_mut(endpoint & FRAGMENTS_MASK) else { return false };
    // SAFETY: this CPU's own value, in a program that nothing of its kind interrupts.
    let (entered, since) = unsafe { (*bucket as u32, *bucket >> 32) };
    let entered = if since == second { entered } else { 0 };
    if entered >= FRAGMENTS_SHARE {
        return false;
    }
    // SAFETY: as above.
    unsafe { *bucket = second << 32 | u64::from(entered + 1) };
    true
}

/// [`Tables::judge`] as a global function: the verifier looks at it by itself, once. What it is asked and its answer are
/// words, which stay in registers: three frames share 512 bytes of stack. `asked`: bits 0–31 the port, 32 the direction,
/// 33 the tiers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_peer(profile: u64, peer: u64, asked: u64) -> u64 {
    let direction = if asked >> 32 & 1 == 0 { Direction::Egress } else { Direction::Ingress };
    let tiers = if asked >> 33 & 1 == 0 { Tiers::All } else { Tiers::Admin };
    let question = Question { peer: Peer(peer), port: PortKey(asked as u32), direction, tiers };
    to_word(judge_profile(&Maps, profile, &question))
}

#[inline(always)]
fn to_word(judgement: Judgement) -> u64 {
    // SAFETY: eight bytes, none of them padding.
    unsafe { core::mem::transmute::<Judgement, u64>(judgement) }
}

#[inline(always)]
fn of_word(word: u64) -> Judgement {
    // SAFETY: made by `to_word`.
    unsafe { core::mem::transmute::<u64, Judgement>(word) }
}
