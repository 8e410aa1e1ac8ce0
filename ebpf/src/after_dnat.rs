//! The program behind the node's rewriting: of type `BPF_PROG_TYPE_NETFILTER` (Linux 6.4), which aya does not know. The
//! agent takes it out of the object by its name and loads it itself.
//!
//! It reads conntrack's entry and not the packet. For what the node itself sends it runs in the sending process, where the
//! programs at the veths may interrupt it: it has none of their scratch memory, and drops nothing of the node's.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use common::abi::{Counter, Direction, DropKey, DropReason, Event};
use common::decide::{Connection, Outcome, Passage, Tables, Verdict, decide_after_dnat};

use crate::maps::{EVENTS, LAYOUT, TOLD};
use crate::report::{count, count_drop, has_share, told};
use crate::tables::Maps;

const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NF_INET_LOCAL_IN: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
/// `enum ip_conntrack_info`, the low bits of `_nfct`: the rest is the address of the entry.
const INFO: u64 = 7;
const IP_CT_RELATED: u64 = 1;
const IP_CT_IS_REPLY: u64 = 3;
const IP_CT_UNTRACKED: u64 = 7;
const ETHERNET: u32 = 14;

/// POSTROUTING and LOCAL_IN, behind all NAT. The section is that of a classifier so that aya accepts the object.
#[classifier]
#[inline(always)]
pub fn after_dnat(context: TcContext) -> i32 {
    let hook = Hook(context.as_ptr().cast());
    let layout = LAYOUT.load();
    let nfct: u64 = hook.skb(layout.nfct);
    let is_undecided = u32::from(hook.skb::<u16>(layout.tc_index)) == UNDECIDED;
    let entry = nfct & !INFO;
    let info = nfct & INFO;
    let mut connection = Connection { words: [0; 26] };
    if entry == 0 || info == IP_CT_UNTRACKED {
        if !is_undecided {
            return NF_ACCEPT;
        }
        if !untracked(&hook, &mut connection) {
            return drop_unread(&hook);
        }
    } else {
        let tuples = entry + u64::from(layout.tuples);
        if !read(connection.words.as_mut_ptr().cast(), size_of::<Connection>() as u32, tuples) {
            return drop_unread(&hook);
        }
        if !connection.is_rewritten() && !is_undecided && connection.is_confirmed() {
            return NF_ACCEPT;
        }
    }
    let packet = Passage {
        is_local: hook.state(layout.hook) == NF_INET_LOCAL_IN,
        ingress_ifindex: hook.skb(layout.skb_iif),
        is_answer: entry != 0 && info != IP_CT_UNTRACKED && info >= IP_CT_IS_REPLY,
        is_error: info == IP_CT_RELATED || info == IP_CT_RELATED + IP_CT_IS_REPLY,
        is_undecided,
    };
    judge(&hook, &connection, &packet)
}

/// What a pod's veth leaves in `tc_index` of a packet that it let pass undecided.
pub const UNDECIDED: u32 = 0xb01c;

/// `struct bpf_nf_ctx`: two pointers, to `nf_hook_state` and `sk_buff`.
struct Hook(*const u64);

impl Hook {
    /// A field of the socket buffer. The verifier knows the offset, since [`LAYOUT`] cannot change, and its type.
    #[inline(always)]
    fn skb<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the verifier checks the access against the kernel's own types.
        unsafe { (self.0.add(1).read_volatile() as *const u8).add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn state(&self, offset: u32) -> u8 {
        // SAFETY: as above.
        unsafe { (self.0.read_volatile() as *const u8).add(offset as usize).read_volatile() }
    }
}

#[inline(always)]
fn judge(hook: &Hook, connection: &Connection, packet: &Passage) -> i32 {
    let layout = LAYOUT.load();
    let mut outcome = Outcome::of(Direction::Egress, 0);
    let judged = decide_after_dnat(&Maps, connection, packet, &mut outcome);
    let length = hook.skb::<u32>(layout.len) + ETHERNET;
    if outcome.cut {
        count(Counter::FlowsCut);
    }
    if outcome.untracked {
        count(Counter::FlowsUntracked);
    }
    if let Some(reason) = told(&outcome) {
        let audited = matches!(outcome.verdict, Verdict::Allow(_));
        let Outcome { source_tenant, destination_tenant, direction, .. } = outcome;
        let key = DropKey::new(source_tenant, destination_tenant, direction, reason, audited);
        count_drop(key, DropKey::overflow(direction, reason, audited), length);
        let ends = connection.ends();
        let (own, far) = match judged {
            Direction::Egress => (&ends.source, &ends.destination.words),
            Direction::Ingress => (&ends.destination, &ends.source.words),
        };
        let share = Maps.local(own).and_then(|slot| TOLD.get_ptr_mut(slot));
        if has_share(share, judged, reason, far) {
            send(connection, &outcome, (reason, audited, judged), length);
        } else {
            count(Counter::EventsLost);
        }
    }
    match outcome.verdict {
        Verdict::Allow(_) => NF_ACCEPT,
        Verdict::Drop(_) => NF_DROP,
    }
}

/// Drops what cannot be read, so that nobody can tell whose it is: there is no event.
#[inline(always)]
fn drop_unread(hook: &Hook) -> i32 {
    let Outcome { source_tenant, destination_tenant, direction, .. } = Outcome::of(Direction::Egress, 0);
    let reason = DropReason::Malformed;
    let key = DropKey::new(source_tenant, destination_tenant, direction, reason, false);
    let length = hook.skb::<u32>(LAYOUT.load().len) + ETHERNET;
    count_drop(key, DropKey::overflow(direction, reason, false), length);
    count(Counter::EventsLost);
    NF_DROP
}

/// A call that a veth let pass and that conntrack was told to leave alone. False where it cannot be read.
#[inline(always)]
fn untracked(hook: &Hook, connection: &mut Connection) -> bool {
    let layout = LAYOUT.load();
    let (head, at): (u64, u16) = (hook.skb(layout.head), hook.skb(layout.network_header));
    let linear = hook.skb::<u32>(layout.len).wrapping_sub(hook.skb::<u32>(layout.data_len));
    let start = head + u64::from(at);
    let v4 = hook.state(layout.pf) == NFPROTO_IPV4;
    let mut header = [0u32; 10];
    let mut ports = 0u32;
    let fixed = if v4 { 20 } else { 40 };
    if linear < fixed || !read(header.as_mut_ptr().cast(), 40, start) {
        return false;
    }
    // An IPv4 header may have options in front of the ports. Up to the ports all must lie in one piece.
    let length = if v4 { (header[0] & 0xf) << 2 } else { fixed };
    if length < fixed || linear < length + 4 || !read((&raw mut ports).cast(), 4, start + u64::from(length)) {
        return false;
    }
    let (protocol, ends) = if v4 {
        ((header[2] >> 8) as u8, [[header[3], 0, 0, 0], [header[4], 0, 0, 0]])
    } else {
        let source = [header[2], header[3], header[4], header[5]];
        ((header[1] >> 16) as u8, [source, [header[6], header[7], header[8], header[9]]])
    };
    *connection = Connection::untracked(v4, protocol, ends, [ports as u16, (ports >> 16) as u16]);
    true
}

#[inline(always)]
fn read(into: *mut u8, length: u32, from: u64) -> bool {
    // SAFETY: the callers' lengths are those of `into`; an address that cannot be read is an error.
    unsafe { bpf_probe_read_kernel(into.cast(), length, from as *const _) == 0 }
}

#[inline(always)]
fn send(connection: &Connection, outcome: &Outcome, told: (DropReason, bool, Direction), length: u32) {
    let (reason, audited, judged) = told;
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return count(Counter::EventsLost) };
    let ends = connection.ends();
    entry.write(Event {
        time: Maps.time(),
        source: ends.source,
        destination: ends.destination,
        endpoint: outcome.endpoint,
        rule: outcome.rule,
        source_tenant: outcome.source_tenant,
        destination_tenant: outcome.destination_tenant,
        length,
        source_mac: [0; 6],
        source_port: ends.source_port(),
        destination_port: ends.destination_port(),
        ether_type: if ends.source.is_v4() { 0x0800 } else { 0x86dd },
        protocol: ends.protocol(),
        direction: outcome.direction as u8,
        reason: reason as u8,
        audited: u8::from(audited),
        hook: judged as u8,
        _zero: [0; 3],
    });
    entry.submit(0);
}
