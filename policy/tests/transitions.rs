//! One random world follows another while packets are judged: nothing opens on the way, and nothing is left.
//! `BULKHEAD_TRANSITIONS` is how many pairs each property tries.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use std::net::IpAddr;

use common::abi::{Backends, Direction, Endpoint, Peer, PeerKind, PortKey, Profile};
use common::decide::{Addresses, Call, MaybeService, Question, Remote, Verdict, judge};
use policy::compile::{Compiled, Ids, Tables, compile};
use policy::plan::{Observed, Op, Plan, diff};
use proptest::prelude::*;
use world::{ROOM, Scene, ip, net, random};

/// Whether a profile lets a peer through, and to a peer that does not refuse it.
fn allows(tables: &Tables, profile: &Profile, peer: Peer, direction: Direction, port: PortKey) -> bool {
    let judgement = judge(tables, profile, Question::new(direction, peer, port));
    matches!(judgement.verdict, Verdict::Allow(_)) && judgement.refused.is_none()
}

fn ports() -> Vec<PortKey> {
    [(6, 80), (6, 81), (17, 53), (132, 8080), (1, 0)].map(|(protocol, port)| PortKey::new(protocol, port)).to_vec()
}

/// Whether a profile lets its pod call this: an address at a port, as a pod, a Service or whatever it is.
fn lets_call(tables: &Tables, profile: &Profile, address: IpAddr, port: PortKey) -> bool {
    let remote = Remote::of(tables, &address.into(), port);
    if remote.service == MaybeService::NONE {
        return allows(tables, profile, remote.peer, Direction::Egress, port);
    }
    let call = Call { end: remote, port, opened: true };
    let behind = |call: &Call| call.behind(tables, Some(profile), |_| false);
    let called = call.judge(behind, |question| judge(tables, profile, *question));
    matches!(called.judgement.verdict, Verdict::Allow(_))
}

/// What is called at an address and port: numbers of backends stand for what they are.
fn called(tables: &Tables, address: IpAddr, port: PortKey) -> (Peer, Option<Backends>) {
    let remote = Remote::of(tables, &address.into(), port);
    (remote.peer, remote.service.number().and_then(|number| tables.backends(number).copied()))
}

/// The endpoints of both worlds, by slot, that no record keeps pending.
fn judged(tables: &Tables) -> Vec<(u32, Endpoint)> {
    let open = tables.endpoints.iter().filter(|(_, endpoint)| !endpoint.is(Endpoint::PENDING));
    open.map(|(&slot, &endpoint)| (slot, endpoint)).collect()
}

/// What one state between two worlds may allow: what the old world allowed, what its rules say of the new
/// addresses, and what the new one allows.
struct Bounds<'a> {
    before: &'a Tables,
    desired: &'a Tables,
    /// The new world with the old sets complete for it.
    both: &'a Tables,
    addresses: Vec<IpAddr>,
}

impl Bounds<'_> {
    fn check(&self, state: &Tables, op: &Op) -> Result<(), TestCaseError> {
        for (slot, _) in judged(state) {
            let Some(profile) = state.profile_of(slot) else {
                return Err(TestCaseError::fail(format!("{op}: slot {slot} has no profile")));
            };
            let old = self.before.endpoints.get(&slot).filter(|it| !it.is(Endpoint::PENDING));
            let old = old.and_then(|_| self.before.profile_of(slot));
            let new = self.desired.profile_of(slot);
            for &address in &self.addresses {
                let (was, is, will) =
                    (self.before.peer_of(address), state.peer_of(address), self.desired.peer_of(address));
                prop_assert!(is == was || is == will, "{op}: {address} is {is:?}, was {was:?}, will be {will:?}");
                for direction in Direction::ALL {
                    for port in ports() {
                        let permitted = old.is_some_and(|old| {
                            allows(self.before, old, was, direction, port)
                                || allows(self.both, old, self.both.peer_of(address), direction, port)
                        }) || new.is_some_and(|new| allows(self.desired, new, will, direction, port));
                        let forbidden = allows(state, profile, is, direction, port) && !permitted;
                        prop_assert!(!forbidden, "{op}: slot {slot} {direction:?} {address} {port:?} opens");
                    }
                }
            }
        }
        let unseen = matches!(
            op,
            Op::SetId { .. }
                | Op::SetPort { .. }
                | Op::SetProfile { .. }
                | Op::SetBackends { .. }
                | Op::SetDelegate { .. }
        );
        if unseen { Ok(()) } else { self.check_calls(state, op) }
    }

    /// The same for what is called by way of Services.
    fn check_calls(&self, state: &Tables, op: &Op) -> Result<(), TestCaseError> {
        let all = random::called().into_iter().flat_map(|address| ports().into_iter().map(move |port| (address, port)));
        for (address, port) in all {
            let [was, is, will] = [self.before, state, self.desired].map(|tables| called(tables, address, port));
            // The number may be another's: what it stands for counts, and who asks for the address alone.
            // Of an unknown pod the ports of nodes only ever close something.
            let same = |a: (Peer, Option<Backends>), b: (Peer, Option<Backends>)| match (a.1, b.1) {
                (None, None) => a.0 == b.0,
                _ if a.0 == b.0 && a.0.kind() == PeerKind::UnknownPod => true,
                (a, b) => a == b,
            };
            prop_assert!(same(is, was) || same(is, will), "{op}: {address} {port:?} {is:?}, {was:?}, {will:?}");
            for (slot, _) in judged(state) {
                let (Some(profile), new) = (state.profile_of(slot), self.desired.profile_of(slot)) else { continue };
                let old = self.before.endpoints.get(&slot).filter(|it| !it.is(Endpoint::PENDING));
                let old = old.and_then(|_| self.before.profile_of(slot));
                let permitted = old.is_some_and(|old| {
                    lets_call(self.before, old, address, port) || lets_call(self.both, old, address, port)
                }) || new.is_some_and(|new| lets_call(self.desired, new, address, port));
                let opens = lets_call(state, profile, address, port) && !permitted;
                prop_assert!(!opens, "{op}: slot {slot} calls {address} {port:?}");
            }
        }
        Ok(())
    }
}

/// Carries a plan out operation by operation.
fn step_through(observed: &mut Observed, compiled: &Compiled, both: &Compiled) -> Result<(), TestCaseError> {
    let before = observed.tables.clone();
    let (desired, both) = (&compiled.desired.tables, &both.desired.tables);
    let bounds = Bounds { before: &before, desired, both, addresses: random::addresses() };
    let plan = diff(observed, &compiled.desired, &ROOM).map_err(|error| TestCaseError::fail(error.to_string()))?;
    for op in plan.ops {
        let step = Plan { ops: vec![op.clone()] };
        step.apply_to(observed);
        bounds.check(&observed.tables, &op)?;
    }
    prop_assert_eq!(&observed.tables, &compiled.desired.tables);
    prop_assert_eq!(&observed.ids, &compiled.desired.ids);
    prop_assert!(diff(observed, &compiled.desired, &ROOM).is_ok_and(|plan| plan.is_empty()));
    Ok(())
}

/// Pairs of worlds that each property tries.
fn cases() -> u32 {
    std::env::var("BULKHEAD_TRANSITIONS").map_or(60, |count| count.parse().unwrap())
}

fn compiled(scene: &Scene, ids: &Ids, previous: Option<&Compiled>) -> Compiled {
    compile(&scene.input(), ids, previous).unwrap()
}

fn worlds() -> impl Strategy<Value = [Scene; 2]> {
    (random::scene(), random::scene(), random::other_node(), random::other_node()).prop_map(
        |(mut first, mut second, before, after)| {
            for (scene, (addresses, ranges)) in [(&mut first, before), (&mut second, after)] {
                let other = scene.world.nodes.get_mut("other").unwrap();
                other.addresses = addresses.into_iter().map(ip).collect();
                other.pod_cidrs = ranges.into_iter().map(net).collect();
            }
            [first, second]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_opens_between_two_worlds(worlds in worlds()) {
        let [first, second] = worlds;
        let mut observed = Observed::default();
        let one = compiled(&first, &observed.ids, None);
        step_through(&mut observed, &one, &one)?;
        let two = compiled(&second, &observed.ids, Some(&one));
        step_through(&mut observed, &two, &two)?;
        let settled = compiled(&second, &observed.ids, Some(&two));
        prop_assert!(!settled.leftovers);
        step_through(&mut observed, &settled, &settled)?;
        let again = compiled(&second, &observed.ids, Some(&settled));
        prop_assert!(diff(&observed, &again.desired, &ROOM).is_ok_and(|plan| plan.is_empty()));
        // A restarted agent knows only what the maps hold.
        let restarted = compiled(&second, &observed.ids, None);
        prop_assert_eq!(restarted.desired.tables, again.desired.tables);
    }

    #[test]
    fn a_restart_into_another_world_opens_nothing(worlds in worlds()) {
        let [first, second] = worlds;
        let mut observed = Observed::default();
        let one = compiled(&first, &observed.ids, None);
        step_through(&mut observed, &one, &one)?;
        let both = compiled(&second, &observed.ids, Some(&one));
        let two = compiled(&second, &observed.ids, None);
        step_through(&mut observed, &two, &both)?;
    }
}
