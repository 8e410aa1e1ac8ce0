//! Identities: what a pod is to the selectors and port names that the live sets mention, and nothing more.

use std::net::IpAddr;
use std::ops::Range;

use super::both::both;
use super::class::Classes;
use super::hash::{HashMap, HashSet};
use super::ids::{ContentHash, Digest};
use super::mentions::Mentions;
use crate::model::tenants::{Membership, NamespaceTenancy, Tenancy};
use crate::model::{Labels, Namespace, Pod, PodKey, Protocol, World};

/// A pod that has an address of its own and whose Namespace is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) pod: &'a Pod,
    pub(super) membership: Membership,
    /// Index into [`Identities::list`].
    pub(super) identity: usize,
}

/// An address of a known pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    /// Index into [`Identities::pods`].
    pub(super) pod: usize,
    pub(super) address: IpAddr,
    /// Index into [`Classes::list`].
    pub(super) class: usize,
}

/// All that a set can tell of a pod.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) tenant: Option<usize>,
    /// Index into [`Identities::namespaces`].
    pub(super) namespace: usize,
    /// Index into [`Identities::label_sets`].
    pub(super) labels: usize,
    /// Index into [`Identities::port_sets`].
    pub(super) ports: usize,
    /// How many pods have it.
    pub(super) pods: usize,
}

/// A namespace with pods: they are neighbours, and so are their identities.
#[derive(Debug)]
pub(super) struct Inhabited<'a> {
    pub(super) namespace: &'a Namespace,
    /// How many of [`World::namespaces`] come before it.
    pub(super) place: usize,
    /// Indices into [`Identities::pods`].
    pub(super) pods: Range<usize>,
    /// Indices into [`Identities::list`].
    pub(super) identities: Range<usize>,
    /// Those of its labels that some selector asks for.
    asked: Projection<'a>,
}

/// Numbers behind port names, ascending, each once.
pub(super) type NamedPorts<'a> = Vec<(Protocol, &'a str, u16)>;

type Projection<'a> = Vec<(&'a str, &'a str)>;

/// The distinct identities of a world.
#[derive(Default)]
pub(super) struct Identities<'a> {
    /// By name.
    pub(super) namespaces: Vec<Inhabited<'a>>,
    pub(super) pods: Vec<Known<'a>>,
    pub(super) homes: Vec<Home>,
    /// Pods whose Namespace is not known.
    pub(super) strangers: Vec<&'a Pod>,
    /// Known ones and strangers that have ports at their nodes' addresses.
    pub(super) with_host_ports: Vec<&'a Pod>,
    pub(super) list: Vec<Identity>,
    /// The labels that some selector asks for in their namespace, and nothing of those that none does: pods of
    /// namespaces in which different ones are asked for share a set.
    label_sets: Vec<(Projection<'a>, Labels)>,
    pub(super) port_sets: Vec<NamedPorts<'a>>,
}

impl<'a> Identities<'a> {
    pub(super) fn of(world: &'a World, tenancy: &Tenancy<'_>, mentions: &Mentions<'a>, classes: &Classes<'a>) -> Self {
        let namespaces: Vec<_> = world.namespaces.values().zip(tenancy.by_namespace()).enumerate().collect();
        let (front, back) = namespaces.split_at(namespaces.len() / 2);
        // Its memory is this thread's: another's would be new memory at every compile.
        let new = || Found::new(mentions, classes, world.pods.len() / 2 + 1);
        let (mut found, mut behind) = (new(), new());
        let first = back.first().map(|(_, (namespace, _))| namespace.name.clone());
        let split = PodKey { namespace: first.unwrap_or_default(), name: String::new() };
        both(
            || behind.add_all(world.pods.range(&split..).map(|(_, pod)| pod), back),
            || found.add_all(world.pods.range(..&split).map(|(_, pod)| pod), front),
        );
        found.append(behind);
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
            (identity.tenant, identity.namespace, identity.ports, labels.collect::<Vec<_>>())
        });
        self.list.len() - without.collect::<HashSet<_>>().len()
    }

    /// What each identity stands for: tenant, namespace, labels and ports, each a digest, because many identities share
    /// it. Only what its pods have: a label or a port name that nobody mentioned before changes no identity of a pod
    /// without it.
    pub(super) fn add_digests(&self, tenancy: &Tenancy<'_>, hash: ContentHash, digests: &mut Vec<Digest>) {
        let tenants: Vec<Digest> = tenancy.tenants().iter().map(|tenant| hash.digest(tenant)).collect();
        let namespaces: Vec<Digest> =
            self.namespaces.iter().map(|it| hash.digest(&(&it.namespace.name, &it.asked))).collect();
        let labels: Vec<Digest> = self.label_sets.iter().map(|(projection, _)| hash.digest(projection)).collect();
        let ports: Vec<Digest> = self.port_sets.iter().map(|ports| hash.digest(ports)).collect();
        let content = |identity: &Identity| {
            let tenant = identity.tenant.map_or(Digest::default(), |tenant| tenants[tenant]);
            let of_parts = [tenant, namespaces[identity.namespace], labels[identity.labels], ports[identity.ports]];
            hash.digest(of_parts.as_flattened())
        };
        digests.extend(self.list.iter().map(content));
    }
}

/// Identities as they are found, namespace by namespace.
struct Found<'a, 'm> {
    identities: Identities<'a>,
    mentions: &'m Mentions<'a>,
    classes: &'m Classes<'a>,
    /// Indices of [`Identities::label_sets`] and [`Identities::port_sets`].
    labels: HashMap<Projection<'a>, usize>,
    ports: HashMap<NamedPorts<'a>, usize>,
    /// Indices of [`Identities::list`], by tenant, labels and ports: those of one namespace.
    by_content: HashMap<(Option<usize>, usize, usize), usize>,
}

/// A namespace, its place, and whose it is.
type Place<'a, 't> = (usize, (&'a Namespace, NamespaceTenancy<'t>));

impl<'a, 'm> Found<'a, 'm> {
    fn new(mentions: &'m Mentions<'a>, classes: &'m Classes<'a>, pods: usize) -> Self {
        let identities = Identities {
            pods: Vec::with_capacity(pods),
            homes: Vec::with_capacity(pods),
            list: Vec::with_capacity(pods),
            ..Identities::default()
        };
        let (labels, ports, by_content) = Default::default();
        Self { identities, mentions, classes, labels, ports, by_content }
    }

    /// Pods and some of the world's namespaces, both in the order of namespaces' names.
    fn add_all(&mut self, pods: impl Iterator<Item = &'a Pod>, namespaces: &[Place<'a, '_>]) {
        let mut pods = pods.filter(|pod| !pod.host_network).peekable();
        for &(place, (namespace, owner)) in namespaces {
            while let Some(pod) = pods.next_if(|pod| pod.namespace < namespace.name) {
                self.add_stranger(pod);
            }
            let own = std::iter::from_fn(|| pods.next_if(|pod| pod.namespace == namespace.name));
            self.add(place, namespace, owner, own);
        }
        pods.for_each(|pod| self.add_stranger(pod));
    }

    /// Adds what was found among the namespaces behind these.
    fn append(&mut self, behind: Found<'a, '_>) {
        let behind = behind.identities;
        let labels: Vec<usize> = behind.label_sets.iter().map(|(asked, _)| self.label_set(asked)).collect();
        let ports: Vec<usize> = behind.port_sets.iter().map(|named| self.port_set(named, None)).collect();
        let own = &mut self.identities;
        let (pods, list, namespaces) = (own.pods.len(), own.list.len(), own.namespaces.len());
        let shifted = |range: Range<usize>, by: usize| range.start + by..range.end + by;
        own.namespaces.extend(behind.namespaces.into_iter().map(|it| Inhabited {
            pods: shifted(it.pods, pods),
            identities: shifted(it.identities, list),
            ..it
        }));
        own.homes.extend(behind.homes.into_iter().map(|it| Home { pod: it.pod + pods, ..it }));
        own.pods.extend(behind.pods.into_iter().map(|it| Known { identity: it.identity + list, ..it }));
        own.list.extend(behind.list.into_iter().map(|it| Identity {
            namespace: it.namespace + namespaces,
            labels: labels[it.labels],
            ports: ports[it.ports],
            ..it
        }));
        own.strangers.extend(behind.strangers);
        own.with_host_ports.extend(behind.with_host_ports);
    }

    /// The pods of one namespace.
    fn add(
        &mut self,
        place: usize,
        namespace: &'a Namespace,
        owner: NamespaceTenancy<'_>,
        pods: impl Iterator<Item = &'a Pod>,
    ) {
        let (first_pod, first_identity) = (self.identities.pods.len(), self.identities.list.len());
        let own_keys = self.mentions.own_pod_keys.get(namespace.name.as_str());
        let pod_keys = &self.mentions.pod_keys;
        let is_asked = |key: &str| pod_keys.contains(key) || own_keys.is_some_and(|keys| keys.contains(key));
        let (mut labels, mut ports) = (Projection::new(), NamedPorts::new());
        let (mut ports_before, mut behind) = (None, 0);
        self.by_content.clear();
        for pod in pods {
            labels.clear();
            labels.extend(project(&pod.labels, is_asked));
            ports.clear();
            self.mentions.ports_of(pod, &mut ports);
            let of_pod = self.port_set(&ports, ports_before);
            ports_before = Some(of_pod);
            let (membership, of_labels) = (owner.membership(pod), self.label_set(&labels));
            let identity = self.identity(membership.tenant, of_labels, of_pod);
            self.add_homes(pod, &mut behind);
            self.identities.pods.push(Known { pod, membership, identity });
            self.add_host_ports(pod);
        }
        if self.identities.pods.len() > first_pod {
            let asked = project(&namespace.labels, |key| self.mentions.namespace_keys.contains(key)).collect();
            self.identities.namespaces.push(Inhabited {
                namespace,
                place,
                pods: first_pod..self.identities.pods.len(),
                identities: first_identity..self.identities.list.len(),
                asked,
            });
        }
    }

    fn add_stranger(&mut self, pod: &'a Pod) {
        self.identities.strangers.push(pod);
        self.add_host_ports(pod);
    }

    /// Of the pod that is added next. `behind`: as [`Classes::behind`], of the address before.
    fn add_homes(&mut self, pod: &Pod, behind: &mut usize) {
        for &address in &pod.addresses {
            *behind = self.classes.behind(address, *behind);
            let class = self.classes.around(address, *behind);
            self.identities.homes.push(Home { pod: self.identities.pods.len(), address, class });
        }
    }

    fn add_host_ports(&mut self, pod: &'a Pod) {
        if pod.ports.iter().any(|port| port.host_port.is_some()) {
            self.identities.with_host_ports.push(pod);
        }
    }

    /// The identity of another pod of the namespace that is being added.
    fn identity(&mut self, tenant: Option<usize>, labels: usize, ports: usize) -> usize {
        let Identities { list, namespaces, .. } = &mut self.identities;
        let identity = *self.by_content.entry((tenant, labels, ports)).or_insert_with(|| {
            list.push(Identity { tenant, namespace: namespaces.len(), labels, ports, pods: 0 });
            list.len() - 1
        });
        list[identity].pods += 1;
        identity
    }

    fn label_set(&mut self, asked: &[(&'a str, &'a str)]) -> usize {
        if let Some(known) = self.labels.get(asked) {
            return *known;
        }
        let sets = &mut self.identities.label_sets;
        let labels = asked.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        self.labels.insert(asked.to_vec(), sets.len());
        sets.push((asked.to_vec(), labels));
        sets.len() - 1
    }

    /// Mostly it is `before`, that of the pod before.
    fn port_set(&mut self, named: &[(Protocol, &'a str, u16)], before: Option<usize>) -> usize {
        let sets = &mut self.identities.port_sets;
        let before = before.filter(|before| sets[*before] == named);
        if let Some(known) = before.or_else(|| self.ports.get(named).copied()) {
            return known;
        }
        self.ports.insert(named.to_vec(), sets.len());
        sets.push(named.to_vec());
        sets.len() - 1
    }
}

fn project(labels: &Labels, is_asked: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(move |(key, _)| is_asked(key))
}
