//! Backends of several kinds to one: for each caller the kind whose verdict holds for all of them, judged as the kernel
//! programs judge, so that their number costs a packet nothing.

use std::collections::{BTreeMap, BTreeSet};

use common::abi::{Backend, DelegateKey, Direction, DropReason, PortKey, Profile};
use common::decide::{Judgement, delegate, judge, leads_astray};

use super::{Compiled, Tables};

/// Backends of several kinds.
pub(super) struct Group {
    /// As in [`Called`](super::rewrites::Called).
    pub(super) payer: u32,
    pub(super) protocol: u8,
    pub(super) kinds: BTreeSet<Backend>,
}

/// Everybody that a node's Services are judged for.
pub(super) struct Callers {
    /// By what a verdict depends on, without the backends.
    profiles: BTreeMap<DelegateKey, Profile>,
    /// Some are only those of the compile that is in force.
    pub(super) some_leave: bool,
}

impl Callers {
    /// Those of the tables, and those of the compile that is in force: their endpoints meet new backends before they
    /// get their new profiles.
    pub(super) fn of(tables: &Tables, previous: Option<&Compiled>) -> Self {
        let of = |tables: &Tables, profiles: &mut BTreeMap<_, _>| {
            let written = tables.profiles.values().filter(|it| it.written != 0);
            profiles.extend(written.map(|profile| (DelegateKey::new(0, profile), *profile)));
        };
        let mut profiles = BTreeMap::new();
        of(tables, &mut profiles);
        let own = profiles.len();
        if let Some(previous) = previous {
            of(&previous.desired.tables, &mut profiles);
        }
        Self { some_leave: profiles.len() > own, profiles }
    }

    /// How many delegates backends of several kinds have.
    pub(super) fn count(&self) -> usize {
        self.profiles.len()
    }

    /// Finds the delegate of backends for each caller. A caller that nothing restricts needs one only where a kind may be
    /// a way into a tunnel.
    pub(super) fn add(&self, tables: &mut Tables, backends: u32, group: &Group) {
        let is_astray = |tables: &Tables, port, peer| leads_astray(port, peer, |port| tables.is_tunnel_port(port));
        let port = |kind: &Backend| PortKey::new(group.protocol, kind.port());
        let some_astray = group.kinds.iter().any(|kind| is_astray(tables, port(kind), kind.peer));
        for (key, profile) in &self.profiles {
            let is_restricted = profile.direction(Direction::Egress).set != 0 || profile.tenant.0 != 0;
            if !is_restricted && !some_astray {
                continue;
            }
            let kinds = group.kinds.iter().copied();
            let found = delegate(kinds, group.protocol, |question| {
                if is_astray(tables, question.port, question.peer) {
                    return Judgement::dropped(DropReason::Tunnel);
                }
                judge(&*tables, profile, *question)
            });
            tables.delegates.extend(found.map(|kind| (DelegateKey { backends, ..*key }, kind)));
        }
    }
}
