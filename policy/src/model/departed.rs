//! Claims and ends of Services that counted until a moment ago. An agent follows a change within a tenth of a second,
//! kube-proxy within its second or more: meanwhile a node still rewrites what was called, and to where it led.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use super::{EndpointSlice, Service, SliceEndpoint};

/// Milliseconds for which they count: `minSyncPeriod` of kube-proxy (1 s), with time to write many rules.
pub const HELD: u64 = 10_000;

/// Endpoints, addresses and ports of one object that are remembered. Of one that changes more nobody can tell.
const MOST: usize = 2000;

/// By namespace and name of the Service.
type ServiceName = (String, String);

/// All that is gone and still counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// By Service and name of the slice: what it listed and lists no more. None of it is ready.
    pub slices: BTreeMap<(ServiceName, String), Departed<EndpointSlice>>,
    /// The addresses and ports at which it was called and is called no more, and perhaps others.
    pub services: BTreeMap<ServiceName, Departed<Service>>,
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed<T> {
    /// The moment, in milliseconds of the caller's clock, from which it does not count.
    pub until: u64,
    pub object: T,
}

impl Departures {
    /// Keeps what a slice listed and lists no more. `after`: `None` where it is gone.
    pub fn leave_slice(&mut self, before: &EndpointSlice, after: Option<&EndpointSlice>, now: u64) {
        if after.is_some_and(|after| after == before || leads_there_too(after, before)) {
            return;
        }
        let service = (before.namespace.clone(), before.service.clone());
        let departed = self.slices.entry((service, before.name.clone())).or_insert_with(|| Departed {
            until: 0,
            object: EndpointSlice { ports: Vec::new(), endpoints: Vec::new(), ..before.clone() },
        });
        departed.until = now + HELD;
        departed.object.add(before);
    }

    /// Keeps where a Service was called and is called no more. `after`: `None` where it is gone.
    pub fn leave_service(&mut self, before: &Service, after: Option<&Service>, now: u64) {
        if before.is_passed_over || after.is_some_and(|after| after == before || is_called_there_too(after, before)) {
            return;
        }
        let departed =
            self.services.entry((before.namespace.clone(), before.name.clone())).or_insert_with(|| Departed {
                until: 0,
                object: Service {
                    namespace: before.namespace.clone(),
                    name: before.name.clone(),
                    ..Service::default()
                },
            });
        departed.until = now + HELD;
        departed.object.add(before);
    }

    /// Forgets what counts no more. True where there was some.
    pub fn forget(&mut self, now: u64) -> bool {
        let before = self.slices.len() + self.services.len();
        self.slices.retain(|_, departed| departed.until > now);
        self.services.retain(|_, departed| departed.until > now);
        before > self.slices.len() + self.services.len()
    }

    /// The moment from which some of it counts no more.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        let slices = self.slices.values().map(|departed| departed.until);
        slices.chain(self.services.values().map(|departed| departed.until)).min()
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

fn is_called_there_too(after: &Service, before: &Service) -> bool {
    let addresses: BTreeSet<_> = after.addresses().collect();
    !before.is_undecided
        && before.addresses().all(|address| addresses.contains(&address))
        && before.ports.iter().all(|port| after.ports.contains(port))
}

impl EndpointSlice {
    fn add(&mut self, before: &Self) {
        add(&mut self.ports, &before.ports);
        let known: BTreeSet<_> = self.endpoints.iter().map(|it| it.address).collect();
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

impl Service {
    /// True for what departed of a Service that changed more than anybody remembers: where it was called is not known.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.is_undecided && self.ports.is_empty()
    }

    fn add(&mut self, before: &Self) {
        if self.is_forgotten() {
            return;
        }
        add(&mut self.ports, &before.ports);
        let lists = [(&mut self.cluster_ips, &before.cluster_ips), (&mut self.external_ips, &before.external_ips)];
        lists.into_iter().for_each(|(own, more)| add(own, more));
        add(&mut self.external_ips, &before.load_balancer_ips);
        self.is_local |= before.is_local;
        self.is_undecided |= before.is_undecided;
        if self.ports.len().max(self.cluster_ips.len()).max(self.external_ips.len()) > MOST {
            self.ports.clear();
            self.is_undecided = true;
        }
    }
}

/// Appends what is not there.
fn add<T: Clone + Eq + Hash>(own: &mut Vec<T>, more: &[T]) {
    let known: std::collections::HashSet<T> = own.iter().cloned().collect();
    own.extend(more.iter().filter(|it| !known.contains(it)).cloned());
}
