//! The maps as [`Tables`].

use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::maps::lpm_trie::Key;
use common::abi::{
    Address, Backends, DropReason, Endpoint, FlowEntry, FlowKey, FragmentKey, FragmentPorts, Interface, Peer, PortRow,
    Profile, ProgramRef, RuleKey, ServiceKey, Settings,
};
use common::decide::{Addresses, Call, Called, Judgement, Question, Rules, Tables, judge_backends, judge_profile};

use crate::maps::{
    BACKENDS, CLOCK, ENDPOINT, EPOCH, FLOW, FRAGMENT, PEER_V4, PEER_V6, PORT, PROFILE, RANGE_V4, RANGE_V6, RULE,
    SERVICE, SETTINGS, SLOT, SLOT_OVERFLOW,
};

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
    fn service(&self, key: &ServiceKey) -> Option<u32> {
        // SAFETY: a word of an entry that lives until the next grace period.
        unsafe { SERVICE.get(key) }.map(|number| *number as u32)
    }

    #[inline(always)]
    fn backends(&self, number: u32) -> Option<&Backends> {
        BACKENDS.get(number)
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.load()
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
        FLOW.insert(key, &[entry.epoch.get(), entry.state.get()], 0).is_ok()
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        // SAFETY: a word of an entry that lives while the program runs.
        unsafe { FRAGMENT.get(key) }.map(|word| FragmentPorts(*word))
    }

    #[inline(always)]
    fn insert_fragment(&self, key: &FragmentKey, ports: FragmentPorts) -> bool {
        FRAGMENT.insert(key, &ports.0, 0).is_ok()
    }

    #[inline(always)]
    fn judge(&self, profile: u64, question: &Question) -> Judgement {
        let mut request = Request { profile, question: *question, answer: Judgement::dropped(DropReason::Capacity) };
        judge_request(&raw mut request);
        request.answer
    }

    #[inline(always)]
    fn judge_service(&self, profile: u64, call: &Call) -> Called {
        let answer = Called { judgement: Judgement::dropped(DropReason::Capacity), peer: Peer::SERVICE };
        let mut request = CallRequest { profile, call: *call, answer };
        judge_call(&raw mut request);
        request.answer
    }
}

/// What [`judge_call`] is asked, and its answer.
#[repr(C)]
pub struct CallRequest {
    profile: u64,
    call: Call,
    answer: Called,
}

/// A global function, as [`judge_request`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_call(request: *mut CallRequest) -> u32 {
    // SAFETY: as there.
    let Some(request) = (unsafe { request.as_mut() }) else { return 0 };
    request.answer = judge_backends(&Maps, request.profile, &request.call);
    0
}

/// What [`judge_request`] is asked, and its answer.
#[repr(C)]
pub struct Request {
    profile: u64,
    question: Question,
    answer: Judgement,
}

/// A global function: the verifier looks at it by itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_request(request: *mut Request) -> u32 {
    // SAFETY: the verifier knows the size behind the pointer from its type, and that it may be null.
    let Some(request) = (unsafe { request.as_mut() }) else { return 0 };
    request.answer = judge_profile(&Maps, request.profile, &request.question);
    0
}
