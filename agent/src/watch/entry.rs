//! What is known of one object: the value that it is to policy, or what stands in for it.

use policy::model::{Departures, Labels, ServicePort, TargetPort};
use serde_json::Value;

use super::live::{Key, Object};
use super::pods::Claim;
use super::shares::{EACH, Over};
use super::stand_in::{belonging, isolation, over, undecided_service, undecided_slice};
use super::{Rejected, Resource};
use crate::ingest::{self, IngestError, Kind, Live, ObjectId};

/// Our own annotations are kept whatever the configuration says.
const OWN: &str = "bulkhead.dev/";
/// Counted for each piece of memory, besides what is in it.
pub(super) const PIECE: usize = 32;

#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: the world goes without it.
    pub live: Option<Live>,
    errors: Vec<IngestError>,
    /// A pod's, to its addresses.
    pub claim: Option<Box<Claim>>,
    uid: Box<str>,
    /// Bytes that count towards its owner's share: of what is kept, where that is more than is known before it is
    /// understood.
    pub size: usize,
    /// It is over its owner's share, and what stands in for it is kept alone.
    pub is_cut: bool,
    /// A Service of which not even that is kept.
    pub is_unread: bool,
    /// Bytes of what stands in for a Service that is cut.
    pub left: usize,
    /// It was cut, and there is room for it now.
    pub wanted: bool,
}

/// Whether it shows.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        let Self { live, errors, claim, is_cut, is_unread, .. } = other;
        let own = (&self.live, &self.errors, &self.claim, &self.is_cut, &self.is_unread);
        own == (live, errors, claim, is_cut, is_unread)
    }
}

impl Entry {
    /// An object as it came. `keeps` says which annotations are read.
    pub fn of(resource: Resource, object: Object, keeps: impl Fn(&str) -> bool) -> (Key, Self) {
        let largest = resource.share().map_or(usize::MAX, |share| share.object);
        Self::within(largest, resource, object, keeps)
    }

    /// The same, cut where its kind can be. Its size is a lower bound: where that fits, the object is wanted.
    pub fn brief(resource: Resource, object: Object, keeps: impl Fn(&str) -> bool) -> (Key, Self) {
        let (key, mut entry) = Self::within(0, resource, object, keeps);
        if entry.is_cut && !counts_text(resource) {
            (entry.size, entry.left) = (EACH, EACH);
        }
        (key, entry)
    }

    /// Cut where it has more bytes than `largest` and its kind can be.
    fn within(largest: usize, resource: Resource, object: Object, keeps: impl Fn(&str) -> bool) -> (Key, Self) {
        let Object { key, uid, text } = object;
        let mut entry = Self {
            live: None,
            errors: Vec::new(),
            claim: None,
            uid: uid.into(),
            size: text.len() + EACH,
            is_cut: false,
            is_unread: false,
            left: 0,
            wanted: false,
        };
        if entry.size <= largest || !entry.stand_in(resource, &key, &text) {
            entry.read(resource, &text, keeps);
        }
        (key, entry)
    }

    /// Puts something in the place of an object that is not made a tree of values. False for a kind of which
    /// little is kept.
    fn stand_in(&mut self, resource: Resource, key: &Key, text: &[u8]) -> bool {
        match resource {
            Resource::NetworkPolicies => self.live = Some(Live::InvalidPolicy(isolation(key, text))),
            Resource::EndpointSlices => self.live = Some(Live::EndpointSlice(undecided_slice(key, belonging(text)))),
            Resource::Services => (self.is_unread, self.left) = (true, self.size),
            _ => return false,
        }
        self.is_cut = true;
        true
    }

    fn read(&mut self, resource: Resource, text: &[u8], keeps: impl Fn(&str) -> bool) {
        // Its reader has read it as JSON before.
        let value: Value = serde_json::from_slice(text).unwrap_or_default();
        self.claim = (resource == Resource::Pods).then(|| Box::new(Claim::of(&value)));
        (self.live, self.errors) = match ingest::convert_live(resource.kind(), value) {
            Ok(live) => (live, Vec::new()),
            Err(refused) => (refused.stand_in, refused.errors),
        };
        let errors = self.errors.iter().map(|it| EACH + it.problem.len() + it.field.as_ref().map_or(0, String::len));
        let errors: usize = errors.sum();
        if let Some(annotations) = self.annotations() {
            annotations.retain(|key, _| key.starts_with(OWN) || keeps(key));
        }
        if !counts_text(resource) {
            self.size = self.live.as_ref().map_or(0, weight) + EACH;
        }
        self.size += errors;
    }

    /// Annotations, of kinds whose annotations are kept.
    fn annotations(&mut self) -> Option<&mut Labels> {
        match &mut self.live {
            Some(Live::Namespace(namespace)) => Some(&mut namespace.annotations),
            Some(Live::Tenant(tenant)) => Some(&mut tenant.annotations),
            Some(Live::Pod(pod)) => Some(&mut pod.annotations),
            _ => None,
        }
    }

    /// Leaves what stands in for it.
    pub fn cut(&mut self, key: &Key) {
        self.wanted = false;
        if std::mem::replace(&mut self.is_cut, true) {
            return;
        }
        (self.claim, self.errors) = (None, Vec::new());
        self.live = match self.live.take() {
            Some(Live::NetworkPolicy(policy)) => {
                Some(Live::InvalidPolicy(over(key, policy.subject, policy.ingress.is_some(), policy.egress.is_some())))
            }
            Some(Live::InvalidPolicy(policy)) => {
                Some(Live::InvalidPolicy(over(key, policy.subject, policy.isolates_ingress, policy.isolates_egress)))
            }
            // kube-proxy has read them whole.
            Some(Live::Service(service)) => undecided_service(service).map(Live::Service),
            Some(Live::EndpointSlice(slice)) => Some(Live::EndpointSlice(undecided_slice(key, slice.service))),
            _ => None,
        };
        self.left = self.live.as_ref().map_or(0, |live| weight(live) + EACH);
    }

    /// Leaves nothing of a Service but that there is one.
    pub fn forget(&mut self) {
        (self.live, self.is_unread, self.wanted) = (None, true, false);
    }

    /// Keeps what it was to Services. `after`: what is in its place.
    pub fn leave(&self, after: Option<&Self>, departed: &mut Departures, now: u64) {
        let after = after.and_then(|after| after.live.as_ref());
        match &self.live {
            Some(Live::EndpointSlice(before)) => {
                let after = if let Some(Live::EndpointSlice(after)) = after { Some(after) } else { None };
                departed.leave_slice(before, after, now);
            }
            Some(Live::Service(before)) => {
                let after = if let Some(Live::Service(after)) = after { Some(after) } else { None };
                departed.leave_service(before, after, now);
            }
            _ => {}
        }
    }

    /// True where it is not taken as it stands.
    pub fn is_refused(&self) -> bool {
        self.is_cut || !self.errors.is_empty()
    }

    /// What is wrong with it.
    pub fn rejected(&self, resource: Resource, key: &Key) -> impl Iterator<Item = Rejected> {
        let kind = resource.kind();
        self.errors.iter().map(move |error| Rejected {
            object: id(kind, key),
            uid: self.uid.to_string(),
            field: error.field.clone().unwrap_or_default(),
            problem: error.problem.clone(),
            effect: effect(kind),
            others: 0,
        })
    }

    /// Says that it and others of its namespace are over their share; `shut`: so much that their owner's pods are shut.
    pub fn over_share(&self, resource: Resource, key: &Key, over: &Over, shut: bool) -> Rejected {
        let kind = resource.kind();
        Rejected {
            object: id(kind, key),
            uid: self.uid.to_string(),
            field: String::new(),
            problem: over.to_string(),
            effect: match kind {
                Kind::NetworkPolicy => "until then they isolate what they select and allow nothing (capacity)",
                Kind::Service if shut => "until then the pods of their owner open no connection (capacity)",
                Kind::Service | Kind::EndpointSlice => "until then calls of these Services drop (service_undecided)",
                _ => "until then it is as if they were not there",
            },
            others: over.objects - 1,
        }
    }
}

fn id(kind: Kind, key: &Key) -> ObjectId {
    ObjectId { kind, namespace: key.namespace.clone(), name: key.name.clone() }
}

/// True for kinds of which nearly all is kept: their text counts.
const fn counts_text(resource: Resource) -> bool {
    matches!(resource, Resource::NetworkPolicies | Resource::ClusterNetworkPolicies)
}

/// Bytes of what an object is to policy, for kinds of which little is kept.
fn weight(live: &Live) -> usize {
    let labels = |labels: &Labels| labels.iter().map(|(key, value)| key.len() + value.len() + PIECE).sum::<usize>();
    match live {
        Live::Namespace(it) => labels(&it.labels) + labels(&it.annotations),
        Live::Tenant(it) => labels(&it.annotations),
        Live::Pod(it) => {
            let calls = it.kubelet_calls.iter().map(|it| it.field.len() + it.host.len() + 2 * PIECE).sum::<usize>();
            labels(&it.labels) + labels(&it.annotations) + (it.ports.len() + it.addresses.len()) * PIECE + calls
        }
        Live::Service(it) => {
            let addresses = it.cluster_ips.len() + it.external_ips.len() + it.load_balancer_ips.len();
            labels(&it.selector) + (addresses + 2 * it.ports.len()) * PIECE + texts_of_ports(&it.ports)
        }
        Live::EndpointSlice(it) => (2 * it.ports.len() + it.endpoints.len()) * PIECE,
        _ => 0,
    }
}

fn texts_of_ports(ports: &[ServicePort]) -> usize {
    let target = |port: &ServicePort| if let TargetPort::Named(name) = &port.target { name.len() } else { 0 };
    ports.iter().map(|port| port.name.len() + target(port)).sum()
}

const fn effect(kind: Kind) -> &'static str {
    match kind {
        Kind::NetworkPolicy => "until then it isolates what it selects and allows nothing",
        Kind::ClusterNetworkPolicy => "until then its rules that are not understood accept nothing and deny everything",
        Kind::Node => "until then what is not understood of it is left out",
        Kind::Service => "until then calls of its addresses and node ports drop (service_undecided)",
        Kind::EndpointSlice => "until then calls of its Service drop (service_undecided)",
        _ => "until then it is as if it were not there",
    }
}
