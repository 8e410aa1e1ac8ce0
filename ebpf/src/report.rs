//! What is left of a packet: counters, and an event for a drop as far as the rate limit allows.

use core::mem::offset_of;

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::debug;
use common::abi::{
    Address, Counter, Direction, DropKey, DropReason, Event, SECOND, Settings, Telling, Ticks, Told, Traffic,
};
use common::decide::{Outcome, Seen, Verdict};

use crate::maps::{BUDGET, COUNTER, DROPS, DROPS_DIRECT, EVENTS, FORWARDED, SEEN, TOLD, setting};

/// Counts a packet that passes.
#[inline(always)]
pub fn passed(direction: Direction, length: u32) {
    add(FORWARDED.get_ptr_mut(direction as u32), length);
}

/// Counts the packet. Every drop is counted under exactly one key. True where there is to be an event: for [`send`].
#[inline(always)]
pub fn report(direction: Direction, context: &TcContext, seen: &Seen) -> bool {
    let length = context.len();
    let outcome = &seen.outcome;
    count_flow(outcome);
    if let Verdict::Allow(_) = outcome.verdict {
        passed(direction, length);
    }
    let Some(told) = told(outcome) else { return false };
    // For developers: off unless `agent::kernel::LogLevel` says otherwise, and then the verifier removes it.
    debug!(context, "{} {}: rule {}", direction as u8, outcome.endpoint, outcome.rule);
    tell(direction, length, seen, told)
}

/// Counts what became of the packet's flow.
#[inline(always)]
pub fn count_flow(outcome: &Outcome) {
    if outcome.cut {
        count(Counter::FlowsCut);
    }
    if outcome.untracked {
        count(Counter::FlowsUntracked);
    }
}

/// The reason that a packet drops for, or would drop for but for tenancy's audit mode (`true`).
#[inline(always)]
pub const fn told(outcome: &Outcome) -> Option<(DropReason, bool)> {
    match (outcome.verdict, outcome.audited) {
        (Verdict::Drop(reason), _) => Some((reason, false)),
        (Verdict::Allow(_), Some(reason)) => Some((reason, true)),
        (Verdict::Allow(_), None) => None,
    }
}

/// Counts a drop. True where there is to be an event.
#[inline(always)]
fn tell(direction: Direction, length: u32, seen: &Seen, told: (DropReason, bool)) -> bool {
    count_drop(&seen.outcome, told, length);
    has_share(TOLD.get_ptr_mut(seen.slot), direction, told.0, seen.remote(direction), seen.now)
}

#[inline(always)]
const fn direction_of(hook: u64) -> Direction {
    if hook == Direction::Egress as u64 { Direction::Egress } else { Direction::Ingress }
}

/// Counts a drop where its key has its place. The reason is that of [`told`].
#[inline(always)]
pub fn count_drop(outcome: &Outcome, (reason, audited): (DropReason, bool), length: u32) {
    let Outcome { source_tenant, destination_tenant, direction, .. } = *outcome;
    let key = DropKey::new(source_tenant, destination_tenant, direction, reason, audited);
    if let Some(row) = DROPS_DIRECT.get_ptr_mut(key.place()) {
        // SAFETY: this CPU's own value, in a program that nothing of its kind interrupts.
        let row = unsafe { &mut *row };
        if row.take(key) {
            return add(Some(&raw mut row.traffic), length);
        }
    }
    match DROPS.get_ptr_mut(&key) {
        Some(traffic) => add(Some(traffic), length),
        None => first_drop(&key, DropKey::overflow(direction, reason, audited), length),
    }
}

/// The first drop of its kind on this CPU. Another CPU may have made the row in between: then it is counted there.
#[inline(always)]
fn first_drop(key: &DropKey, overflow: DropKey, length: u32) {
    /// Only where the row is not there yet.
    const BPF_NOEXIST: u64 = 1;
    let made = DROPS.insert(key, &Traffic { packets: 1, bytes: u64::from(length) }, BPF_NOEXIST);
    if made.is_err() {
        let row = DROPS.get_ptr_mut(key);
        let row = row.or_else(|| DROPS.get_ptr_mut(overflow));
        add(row, length);
    }
}

#[inline(always)]
fn add(traffic: Option<*mut Traffic>, length: u32) {
    if let Some(traffic) = traffic {
        // SAFETY: this CPU's own value, in a program that nothing of its kind interrupts.
        unsafe {
            (*traffic).packets += 1;
            (*traffic).bytes += u64::from(length);
        }
    }
}

#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(value) = COUNTER.get_ptr_mut(counter as u32) {
        // SAFETY: as above.
        unsafe { *value += 1 }
    }
}

/// Whether there is to be an event: no endpoint's drops keep another's from being told, and no flood the first of another
/// kind. What is not told is counted. `told` is the endpoint's, `far` the address of the other end.
#[inline(always)]
pub fn has_share(told: Option<*mut Told>, direction: Direction, reason: DropReason, far: &Address, now: Ticks) -> bool {
    let far = &far.words;
    let (second, budget) = (u64::from(now / SECOND), setting(offset_of!(Settings, events_per_second)));
    let (kind, peer) = ((direction as u32) << 5 | reason as u32 & 31, far[0] ^ far[1] ^ far[2] ^ far[3]);
    let Some(told) = told else {
        let has_budget = has_budget(second, budget);
        if !has_budget {
            count(Counter::EventsLost);
        }
        return has_budget;
    };
    // SAFETY: this CPU's own value, in a program that nothing of its kind interrupts.
    let told = unsafe { &mut *told };
    let has_share = match told.tell(second, kind, peer, budget) {
        Telling::Always => true,
        Telling::Shared => has_budget(second, budget),
        Telling::Never => false,
    };
    told.lost += u64::from(!has_share);
    has_share
}

/// A bucket of one second: bits 0–31 what is left, 32–63 the second.
#[inline(always)]
fn has_budget(second: u64, budget: u32) -> bool {
    let Some(bucket) = BUDGET.get_ptr_mut(0) else { return false };
    // SAFETY: as above.
    let (left, since) = unsafe { (*bucket as u32, *bucket >> 32) };
    let left = if since == second { left } else { budget };
    if left == 0 {
        return false;
    }
    // SAFETY: as above.
    unsafe { *bucket = second << 32 | u64::from(left - 1) };
    true
}

/// Sends the event of the drop that `SEEN` holds. A global function as [`tell`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn send(hook: u64, length: u32) -> u64 {
    if let Some(seen) = SEEN.get(0)
        && let Some((reason, audited)) = told(&seen.outcome)
    {
        submit(direction_of(hook), length, seen, reason, audited);
    }
    0
}

#[inline(always)]
fn submit(direction: Direction, length: u32, seen: &Seen, reason: DropReason, audited: bool) {
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return count(Counter::EventsLost) };
    let Seen { frame, datagram, outcome, .. } = seen;
    // SAFETY: takes no argument.
    let time = unsafe { bpf_ktime_get_coarse_ns() };
    entry.write(Event {
        time,
        source: datagram.source,
        destination: datagram.destination,
        endpoint: outcome.endpoint,
        rule: outcome.rule,
        source_tenant: outcome.source_tenant,
        destination_tenant: outcome.destination_tenant,
        length,
        source_mac: frame.source_mac.octets(),
        source_port: datagram.source_port,
        destination_port: datagram.destination_port,
        ether_type: frame.ether_type,
        protocol: datagram.protocol,
        direction: outcome.direction as u8,
        reason: reason as u8,
        audited: u8::from(audited),
        hook: direction as u8,
        _zero: [0; 3],
    });
    entry.submit(0);
}
