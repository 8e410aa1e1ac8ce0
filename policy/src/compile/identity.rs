//! Identities: what a pod is to the selectors and port names that the live sets mention, and nothing more.

use super::hash::{HashMap, HashSet};
use super::mentions::Mentions;
use super::set::named_numbers;
use crate::model::tenants::{Membership, NamespaceTenancy, Tenancy, Tenant};
use crate::model::{Labels, Namespace, Pod, Protocol, World};

/// A pod that has an address of its own and whose Namespace is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) pod: &'a Pod,
    pub(super) membership: Membership,
    /// Index into [`Identities::list`].
    pub(super) identity: usize,
}

/// All that a set can tell of a pod.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    pub(super) tenant: Option<usize>,
    pub(super) namespace: &'a Namespace,
    /// Index into [`Identities::label_sets`].
    pub(super) labels: usize,
    /// Index into [`Identities::port_sets`].
    pub(super) ports: usize,
    /// How many pods have it.
    pub(super) pods: usize,
}

/// Numbers behind port names, ascending by protocol and name.
pub(super) type NamedPorts<'a> = Vec<(Protocol, &'a str, Vec<u16>)>;

type Projection<'a> = Vec<(&'a str, &'a str)>;

/// The distinct identities of a world, namespace by namespace.
pub(super) struct Identities<'a> {
    pub(super) pods: Vec<Known<'a>>,
    /// Pods whose Namespace is not known.
    pub(super) strangers: Vec<&'a Pod>,
    pub(super) list: Vec<Identity<'a>>,
    /// The labels that some selector asks for in their namespace, and nothing of those that none does: pods of
    /// namespaces in which different ones are asked for share a set.
    label_sets: Vec<(Projection<'a>, Labels)>,
    pub(super) port_sets: Vec<NamedPorts<'a>>,
    namespace_labels: HashMap<&'a str, Projection<'a>>,
}

impl<'a> Identities<'a> {
    pub(super) fn of(world: &'a World, tenancy: &Tenancy<'_>, mentions: &Mentions<'a>) -> Self {
        let identities = Self {
            pods: Vec::with_capacity(world.pods.len()),
            strangers: Vec::new(),
            list: Vec::new(),
            label_sets: Vec::new(),
            port_sets: Vec::new(),
            namespace_labels: HashMap::default(),
        };
        let mut found = Found { identities, mentions, labels: HashMap::default(), ports: HashMap::default() };
        let pods: Vec<&Pod> = world.pods.values().filter(|pod| !pod.host_network).collect();
        // Pods of one namespace are neighbours.
        for own in pods.chunk_by(|a, b| a.namespace == b.namespace) {
            let name = own[0].namespace.as_str();
            match world.namespaces.get(name).zip(tenancy.in_namespace(name)) {
                Some((namespace, owner)) => found.add(namespace, owner, own),
                None => found.identities.strangers.extend(own),
            }
        }
        found.identities
    }

    /// The labels, for each index that [`Identity::labels`] can have.
    pub(super) fn label_sets(&self) -> impl Iterator<Item = &Labels> {
        self.label_sets.iter().map(|(_, labels)| labels)
    }

    /// How many fewer identities there would be if nobody asked for these labels.
    pub(super) fn told_apart_by(&self, keys: &HashSet<&str>) -> usize {
        let without = self.list.iter().map(|identity| {
            let labels = self.label_sets[identity.labels].0.iter().filter(|(key, _)| !keys.contains(key));
            (identity.tenant, identity.namespace.name.as_str(), identity.ports, labels.collect::<Vec<_>>())
        });
        self.list.len() - without.collect::<HashSet<_>>().len()
    }

    /// What an identity stands for, for its digest.
    pub(super) fn content<'b>(&'b self, identity: &'b Identity<'a>, tenancy: &'b Tenancy<'_>) -> Content<'b> {
        Content {
            tenant: identity.tenant.map(|tenant| &tenancy.tenants()[tenant]),
            namespace: &identity.namespace.name,
            namespace_labels: self.namespace_labels.get(identity.namespace.name.as_str()).map_or(&[], Vec::as_slice),
            labels: &self.label_sets[identity.labels].0,
            ports: &self.port_sets[identity.ports],
        }
    }
}

/// Identities as they are found, namespace by namespace.
struct Found<'a, 'm> {
    identities: Identities<'a>,
    mentions: &'m Mentions<'a>,
    /// Indices of [`Identities::label_sets`] and [`Identities::port_sets`].
    labels: HashMap<Projection<'a>, usize>,
    ports: HashMap<NamedPorts<'a>, usize>,
}

impl<'a> Found<'a, '_> {
    /// The pods of one namespace.
    fn add(&mut self, namespace: &'a Namespace, owner: NamespaceTenancy<'_>, pods: &[&'a Pod]) {
        let mentions = self.mentions;
        let name = namespace.name.as_str();
        let own_keys = mentions.own_pod_keys.get(name);
        let is_asked = |key: &str| mentions.pod_keys.contains(key) || own_keys.is_some_and(|keys| keys.contains(key));
        let labels = project(&namespace.labels, |key| mentions.namespace_keys.contains(key));
        self.identities.namespace_labels.insert(name, labels.collect());
        let mut by_content: HashMap<(Option<usize>, usize, usize), usize> = HashMap::default();
        let (mut asked, mut ports) = (Projection::new(), None);
        for pod in pods {
            let membership = owner.membership(pod);
            asked.clear();
            asked.extend(project(&pod.labels, is_asked));
            let labels = self.label_set(&asked);
            let of_pod = self.port_set(ports_of(pod, mentions), ports);
            ports = Some(of_pod);
            let list = &mut self.identities.list;
            let identity = *by_content.entry((membership.tenant, labels, of_pod)).or_insert_with(|| {
                list.push(Identity { tenant: membership.tenant, namespace, labels, ports: of_pod, pods: 0 });
                list.len() - 1
            });
            list[identity].pods += 1;
            self.identities.pods.push(Known { pod, membership, identity });
        }
    }

    fn label_set(&mut self, asked: &[(&'a str, &'a str)]) -> usize {
        if let Some(known) = self.labels.get(asked) {
            return *known;
        }
        let sets = &mut self.identities.label_sets;
        let labels = asked.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.labels.insert(asked.to_vec(), sets.len());
        sets.push((asked.to_vec(), labels));
        sets.len() - 1
    }

    /// Mostly it is `last`, that of the pod before.
    fn port_set(&mut self, named: NamedPorts<'a>, last: Option<usize>) -> usize {
        let sets = &mut self.identities.port_sets;
        if let Some(last) = last.filter(|last| sets[*last] == named) {
            return last;
        }
        *self.ports.entry(named).or_insert_with_key(|named| {
            sets.push(named.clone());
            sets.len() - 1
        })
    }
}

/// Only what the pod has: a label or a port name that nobody mentioned before changes no identity of a pod
/// without it.
#[derive(Hash)]
pub(super) struct Content<'a> {
    tenant: Option<&'a Tenant>,
    namespace: &'a str,
    namespace_labels: &'a [(&'a str, &'a str)],
    labels: &'a [(&'a str, &'a str)],
    ports: &'a [(Protocol, &'a str, Vec<u16>)],
}

fn project(labels: &Labels, is_asked: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(move |(key, _)| is_asked(key))
}

fn ports_of<'a>(pod: &'a Pod, mentions: &Mentions<'_>) -> NamedPorts<'a> {
    let own = pod.ports.iter().filter_map(|port| Some((port.protocol, port.name.as_deref()?)));
    let mut mentioned: Vec<(Protocol, &str)> = own.filter(|name| mentions.port_names.contains(name)).collect();
    mentioned.sort_unstable();
    mentioned.dedup();
    mentioned.into_iter().map(|(protocol, name)| (protocol, name, named_numbers(pod, protocol, name))).collect()
}
