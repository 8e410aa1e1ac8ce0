//! The program behind the node's rewriting: of type `BPF_PROG_TYPE_NETFILTER` (Linux 6.4), which aya does not know. The
//! agent takes it out of the object by its name and loads it itself.
//!
//! It reads conntrack's entry and not the packet. For what the node itself sends it runs in the sending process, where the
//! programs at the veths may interrupt it: it has none of their scratch memory, and drops nothing of the node's.

use core::mem::MaybeUninit;

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use common::abi::{Counter, Direction, DropReason, Event, ticks};
use common::decide::{
    Connection, Outcome, Passage, Tables, Verdict, holds_after_dnat, judge_receiver, judge_sender, settle_after_dnat,
    went_undecided,
};

use crate::hook::{Hook, read, untracked};
use crate::maps::{EVENTS, LAYOUT, TOLD};
use crate::report::{count, count_drop, count_flow, has_share, told};
use crate::tables::Maps;

const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NF_INET_LOCAL_IN: u8 = 1;
/// `enum ip_conntrack_info`, the low bits of `_nfct`: the rest is the address of the entry.
const INFO: u64 = 7;
const IP_CT_RELATED: u64 = 1;
const IP_CT_IS_REPLY: u64 = 3;
const IP_CT_UNTRACKED: u64 = 7;
/// `enum ip_conntrack_status`.
const IPS_CONFIRMED: u32 = 1 << 3;
const IPS_DST_NAT: u32 = 1 << 5;

/// POSTROUTING and LOCAL_IN, behind all NAT. The section is that of a classifier so that aya accepts the object.
#[classifier]
#[inline(always)]
pub fn after_dnat(context: TcContext) -> i32 {
    let hook = Hook::new(&context);
    if is_plain(&hook) {
        return NF_ACCEPT;
    }
    let mut connection = Connection { words: [0; 26] };
    let packet = look(&hook, &mut connection);
    match packet {
        PASSES => return NF_ACCEPT,
        UNREAD => return drop_unread(&hook),
        _ => {}
    }
    // Read first: what is stamped on a flow must not be newer than the rules that allowed it.
    let epoch = Maps.epoch();
    if holds(&connection, packet, epoch) {
        return NF_ACCEPT;
    }
    let mut outcome = MaybeUninit::zeroed();
    let mut judged = Direction::Egress as u64;
    if judge_opener(&raw const connection, packet, outcome.as_mut_ptr()) != 0 {
        judged = judge_answerer(&raw const connection, packet, epoch, outcome.as_mut_ptr());
    }
    settle_ends(&raw const connection, packet, epoch, outcome.as_mut_ptr());
    let allowed = tell_of(&raw const connection, outcome.as_mut_ptr(), judged, hook.length());
    // To the verifier, which does not look into the function, the answer is any number.
    (core::hint::black_box(allowed) & 1) as i32
}

/// Of no concern here.
const PASSES: u64 = 0;
/// It cannot be read.
const UNREAD: u64 = 1;

/// Whether a packet is of no connection that anything has to do with here, by the first word of conntrack's `status`: most
/// packets are. IPVS does not set the bit; what it rewrites for a pod carries the mark of the pod's veth.
#[inline(always)]
fn is_plain(hook: &Hook) -> bool {
    let layout = LAYOUT.load();
    if u32::from(hook.skb::<u16>(layout.tc_index)) == UNDECIDED {
        return false;
    }
    let nfct: u64 = hook.skb(layout.nfct);
    let entry = nfct & !INFO;
    if entry == 0 || nfct & INFO == IP_CT_UNTRACKED {
        return true;
    }
    let mut status = 0_u32;
    read((&raw mut status).cast(), 4, entry + u64::from(layout.status))
        && status & (IPS_CONFIRMED | IPS_DST_NAT) == IPS_CONFIRMED
}

/// Reads the packet's connection. Returns the [`Passage`] as a word, or one of the two above. A function of its own, as
/// are those below: the frames of functions that call each other share 512 bytes of stack.
#[inline(never)]
fn look(hook: &Hook, connection: &mut Connection) -> u64 {
    let layout = LAYOUT.load();
    let nfct: u64 = hook.skb(layout.nfct);
    let is_undecided = u32::from(hook.skb::<u16>(layout.tc_index)) == UNDECIDED;
    let (entry, info) = (nfct & !INFO, nfct & INFO);
    let is_tracked = entry != 0 && info != IP_CT_UNTRACKED;
    if is_tracked {
        let tuples = entry + u64::from(layout.tuples);
        if !read(connection.words.as_mut_ptr().cast(), size_of::<Connection>() as u32, tuples) {
            return UNREAD;
        }
        if !connection.is_rewritten() && !is_undecided && connection.is_confirmed() {
            return PASSES;
        }
    } else if !untracked(hook, connection) {
        return UNREAD;
    }
    let packet = to_word(Passage {
        is_local: hook.state(layout.hook) == NF_INET_LOCAL_IN,
        ingress_ifindex: hook.skb(layout.skb_iif),
        is_answer: is_tracked && info >= IP_CT_IS_REPLY,
        is_error: info == IP_CT_RELATED || info == IP_CT_RELATED + IP_CT_IS_REPLY,
        is_undecided,
    });
    if connection.is_rewritten() || is_undecided || may_be_undecided(connection, packet) { packet } else { PASSES }
}

const LOCAL: u64 = 1 << 32;
const ANSWER: u64 = 1 << 33;
const ERROR: u64 = 1 << 34;
const LEFT_UNDECIDED: u64 = 1 << 35;

/// A [`Passage`] as a word: bits 0–31 the interface, and a flag for each of the others; 63 is set.
#[inline(always)]
const fn to_word(packet: Passage) -> u64 {
    let Passage { is_local, ingress_ifindex, is_answer, is_error, is_undecided } = packet;
    let flags = is_local as u64 | (is_answer as u64) << 1 | (is_error as u64) << 2 | (is_undecided as u64) << 3;
    ingress_ifindex as u64 | flags << 32 | 1 << 63
}

/// The inverse of [`to_word`].
#[inline(always)]
const fn of_word(packet: u64) -> Passage {
    Passage {
        is_local: packet & LOCAL != 0,
        ingress_ifindex: packet as u32,
        is_answer: packet & ANSWER != 0,
        is_error: packet & ERROR != 0,
        is_undecided: packet & LEFT_UNDECIDED != 0,
    }
}

/// [`went_undecided`], with a frame of its own.
#[inline(never)]
fn may_be_undecided(connection: &Connection, packet: u64) -> bool {
    went_undecided(&Maps, connection, &of_word(packet))
}

/// [`holds_after_dnat`], with a frame of its own.
#[inline(never)]
fn holds(connection: &Connection, packet: u64, epoch: u64) -> bool {
    holds_after_dnat(&Maps, connection, &of_word(packet), epoch)
}

/// [`judge_sender`] as a global function: the verifier looks at it by itself, once. Returns 1 for true.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_opener(connection: *const Connection, packet: u64, outcome: *mut Outcome) -> u64 {
    // SAFETY: the verifier holds the callers to whole values of their own.
    let (Some(connection), Some(outcome)) = (unsafe { (connection.as_ref(), outcome.as_mut()) }) else { return 0 };
    u64::from(judge_sender(&Maps, connection, &of_word(packet), outcome))
}

/// [`judge_receiver`], likewise. Returns the [`Direction`] of the end that the outcome is about.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_answerer(connection: *const Connection, packet: u64, epoch: u64, outcome: *mut Outcome) -> u64 {
    // SAFETY: as above.
    let (Some(connection), Some(outcome)) = (unsafe { (connection.as_ref(), outcome.as_mut()) }) else { return 0 };
    let by_receiver = judge_receiver(&Maps, connection, &of_word(packet), epoch, outcome);
    (if by_receiver { Direction::Ingress } else { Direction::Egress }) as u64
}

/// [`settle_after_dnat`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn settle_ends(connection: *const Connection, packet: u64, epoch: u64, outcome: *mut Outcome) -> u64 {
    // SAFETY: as above.
    let (Some(connection), Some(outcome)) = (unsafe { (connection.as_ref(), outcome.as_mut()) }) else { return 0 };
    settle_after_dnat(&Maps, connection, &of_word(packet), epoch, outcome);
    0
}

/// Counts a drop and tells of it, likewise. Returns netfilter's verdict.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_of(connection: *const Connection, outcome: *mut Outcome, judged: u64, length: u32) -> u64 {
    // SAFETY: as above.
    let (Some(connection), Some(outcome)) = (unsafe { (connection.as_ref(), outcome.as_ref()) }) else { return 0 };
    let judged = if judged == Direction::Egress as u64 { Direction::Egress } else { Direction::Ingress };
    report(connection, judged, outcome, length);
    match outcome.verdict {
        Verdict::Allow(_) => NF_ACCEPT as u64,
        Verdict::Drop(_) => NF_DROP as u64,
    }
}

/// What a pod's veth leaves in `tc_index` of a packet that it let pass undecided.
pub const UNDECIDED: u32 = 0xb01c;

#[inline(always)]
fn report(connection: &Connection, judged: Direction, outcome: &Outcome, length: u32) {
    count_flow(outcome);
    let Some((reason, audited)) = told(outcome) else { return };
    count_drop(outcome, (reason, audited), length);
    let ends = connection.ends();
    let (own, far) = match judged {
        Direction::Egress => (&ends.source, &ends.destination),
        Direction::Ingress => (&ends.destination, &ends.source),
    };
    let share = Maps.local(own).and_then(|slot| TOLD.get_ptr_mut(slot));
    if has_share(share, judged, reason, far, ticks(Maps.time())) {
        send(connection, outcome, (reason, audited, judged), length);
    }
}

/// Drops what cannot be read, so that nobody can tell whose it is: there is no event.
#[inline(always)]
fn drop_unread(hook: &Hook) -> i32 {
    count_drop(&Outcome::of(Direction::Egress, 0), (DropReason::Malformed, false), hook.length());
    count(Counter::EventsLost);
    NF_DROP
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
