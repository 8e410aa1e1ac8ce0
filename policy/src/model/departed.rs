//! Ends that a Service led to until a moment ago. An agent follows a change within a tenth of a second, kube-proxy within
//! its second or more: meanwhile a call still reaches them.

use std::collections::BTreeMap;

use super::{EndpointSlice, SliceEndpoint, World};

/// Milliseconds for which ends count that are gone: `minSyncPeriod` of kube-proxy (1 s), with time to write many rules.
pub const HELD: u64 = 10_000;

/// Endpoints of one slice that are remembered. Of a slice that changes more nobody can tell where it led.
const MOST: usize = 2000;

/// What a slice listed and lists no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The moment, in milliseconds of the caller's clock, from which it does not count.
    pub until: u64,
    /// None of it is ready.
    pub slice: EndpointSlice,
}

/// By namespace, Service and name of the slice.
pub type DepartedSlices = BTreeMap<(String, String, String), Departed>;

impl World {
    /// Keeps the ends that `last` had and this world has not.
    pub fn hold_ends(&mut self, last: &Self, now: u64) {
        let held = last.departed.iter().filter(|(_, departed)| departed.until > now);
        self.departed = held.map(|(key, departed)| (key.clone(), departed.clone())).collect();
        for (key, before) in &last.endpoint_slices {
            let after = self.endpoint_slices.get(key);
            if after.is_some_and(|after| after == before || leads_there_too(after, before)) {
                continue;
            }
            let key = (before.namespace.clone(), before.service.clone(), before.name.clone());
            let departed = self.departed.entry(key).or_insert_with(|| Departed {
                until: 0,
                slice: EndpointSlice { ports: Vec::new(), endpoints: Vec::new(), ..before.clone() },
            });
            departed.until = now + HELD;
            departed.slice.add(before);
        }
    }

    /// The moment from which some end counts no more.
    #[must_use]
    pub fn ends_held_until(&self) -> Option<u64> {
        self.departed.values().map(|departed| departed.until).min()
    }
}

fn leads_there_too(after: &EndpointSlice, before: &EndpointSlice) -> bool {
    let lists = |endpoint: &SliceEndpoint| after.endpoints.iter().any(|it| it.address == endpoint.address);
    after.service == before.service
        && !before.is_undecided
        && before.ports.iter().all(|port| after.ports.contains(port))
        // Mostly nothing but readiness has changed, and the order is the same.
        && (after.endpoints.iter().map(|it| it.address).eq(before.endpoints.iter().map(|it| it.address))
            || before.endpoints.iter().all(lists))
}

impl EndpointSlice {
    fn add(&mut self, before: &Self) {
        for port in &before.ports {
            if !self.ports.contains(port) {
                self.ports.push(port.clone());
            }
        }
        let known: std::collections::BTreeSet<_> = self.endpoints.iter().map(|it| it.address).collect();
        let gone = before.endpoints.iter().filter(|it| !known.contains(&it.address));
        self.endpoints.extend(gone.map(|it| SliceEndpoint { ready: false, ..*it }));
        self.is_undecided |= before.is_undecided;
        if self.endpoints.len() > MOST || self.ports.len() > MOST {
            self.endpoints.clear();
            self.ports.clear();
            self.is_undecided = true;
        }
    }
}
