//! Shares of the maps of Services: where all of them take more than there is, Services of the owner that takes most go
//! first, the largest of them first, until the rest fits. Nobody's change ever waits for them.
//!
//! A Service that goes is still known as one of which nobody can tell: its ClusterIPs lie in a service range, its other
//! addresses are closed one by one, its node ports lead to nobody knows whom. An owner whose Services take too much even
//! so is shut: its pods open nothing, so that nobody gains by it.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Input;
use super::budget::{Excess, Resource};
use super::hash::HashSet;
use super::meter::Meter;
use crate::model::{ObjectRef, Pod, Service};

/// An owner of namespaces, as in [`Meter::owners`]; `None` where the Namespace is not known.
pub(super) type Payer = Option<usize>;

/// Who goes without.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Namespaces and names.
    services: HashSet<(String, String)>,
    pods: HashSet<(String, String)>,
    shut: BTreeSet<usize>,
    pub(super) excesses: Vec<Excess>,
}

/// A claim to entries of a map.
struct Claim<'a> {
    payer: Payer,
    cost: usize,
    of: Of<'a>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Service(&'a Service),
    Pod(&'a Pod),
}

impl Of<'_> {
    fn name(self) -> (String, String) {
        match self {
            Self::Service(it) => (it.namespace.clone(), it.name.clone()),
            Self::Pod(it) => (it.namespace.clone(), it.name.clone()),
        }
    }

    fn object(self) -> ObjectRef {
        let (namespace, name) = self.name();
        match self {
            Self::Service(_) => ObjectRef::Service { namespace, name },
            Self::Pod(_) => ObjectRef::Pod { namespace, name },
        }
    }

    /// Entries that it takes as one of which nobody can tell: an address or a port of all nodes each.
    fn closed(self) -> usize {
        match self {
            Self::Service(it) => it.outside_addresses().count() + 2 * it.ports.len(),
            Self::Pod(it) => 2 * it.ports.iter().filter(|port| port.host_port.is_some()).count(),
        }
    }
}

impl Shares {
    pub(super) fn of(input: &Input<'_>, meter: &Meter<'_>, with_host_ports: &[&Pod]) -> Self {
        let payer = |namespace: &str| meter.owners.get(namespace).copied();
        let departed = input.world.departed.services.values().map(|departed| &departed.object);
        let services = input.world.services.values().chain(departed).map(|it| {
            let node_ports = it.ports.iter().filter(|port| port.node_port.is_some()).count();
            let cost = it.addresses().count() * it.ports.len() + it.cluster_ips.len() * node_ports;
            Claim { payer: payer(&it.namespace), cost, of: Of::Service(it) }
        });
        let pods = with_host_ports.iter().map(|&it| {
            let ports = it.ports.iter().filter(|port| port.host_port.is_some()).count();
            let node = input.world.nodes.get(&it.node).map_or(0, |node| node.addresses.len());
            Claim { payer: payer(&it.namespace), cost: ports * (node + 2), of: Of::Pod(it) }
        });
        let claims: Vec<Claim<'_>> = services.chain(pods).collect();
        let unread = input.world.unread_services.iter();
        let mut shares = Self { shut: unread.filter_map(|namespace| payer(namespace)).collect(), ..Self::default() };
        let needed = claims.iter().map(|claim| claim.cost).sum();
        let cut = cut(&claims.iter().map(|claim| (claim.payer, claim.cost)).collect::<Vec<_>>(), meter.budget.services);
        shares.shut_forgotten(input, meter);
        if cut.is_empty() {
            return shares;
        }
        let cut: Vec<&Claim<'_>> =
            claims.iter().zip(&cut).filter(|(_, is_cut)| **is_cut).map(|(claim, _)| claim).collect();
        shares.tell(meter, &cut, Resource::Services, needed);
        shares.shut(meter, &cut);
        for claim in cut {
            let of_kind = if matches!(claim.of, Of::Pod(_)) { &mut shares.pods } else { &mut shares.services };
            of_kind.insert(claim.of.name());
        }
        shares
    }

    /// Shuts those whose Services have no room even as those of which nobody can tell.
    fn shut(&mut self, meter: &Meter<'_>, claims: &[&Claim<'_>]) {
        let costs: Vec<(Payer, usize)> = claims.iter().map(|claim| (claim.payer, claim.of.closed())).collect();
        let over = cut(&costs, meter.budget.closed);
        let over: Vec<&Claim<'_>> =
            claims.iter().zip(&over).filter(|(_, is_cut)| **is_cut).map(|(claim, _)| *claim).collect();
        self.shut.extend(over.iter().filter_map(|claim| claim.payer));
        self.tell(meter, &over, Resource::Closed, costs.iter().map(|(_, cost)| cost).sum());
    }

    /// Shuts those of whose Services nobody knows any more where they were called.
    fn shut_forgotten(&mut self, input: &Input<'_>, meter: &Meter<'_>) {
        let departed = input.world.departed.services.values().map(|departed| &departed.object);
        let forgotten: Vec<Claim<'_>> = departed
            .filter(|service| service.is_forgotten())
            .map(|it| Claim { payer: meter.owners.get(&*it.namespace).copied(), cost: 0, of: Of::Service(it) })
            .collect();
        self.shut.extend(forgotten.iter().filter_map(|claim| claim.payer));
        self.tell(meter, &forgotten.iter().collect::<Vec<_>>(), Resource::Closed, meter.budget.closed);
    }

    /// Tells each namespace once.
    fn tell(&mut self, meter: &Meter<'_>, claims: &[&Claim<'_>], of: Resource, needed: usize) {
        let mut told: BTreeMap<String, (ObjectRef, usize)> = BTreeMap::new();
        for claim in claims {
            let entry = told.entry(claim.of.name().0).or_insert_with(|| (claim.of.object(), 0));
            entry.1 += 1;
        }
        let excess = |(namespace, about): (String, (ObjectRef, usize))| Excess {
            about: Some(about),
            ..meter.excess(&namespace, of, needed)
        };
        self.excesses.extend(told.into_iter().map(excess));
    }

    pub(super) fn lacks_service(&self, service: &Service) -> bool {
        !self.services.is_empty() && self.services.contains(&(service.namespace.clone(), service.name.clone()))
    }

    pub(super) fn lacks_pod(&self, pod: &Pod) -> bool {
        !self.pods.is_empty() && self.pods.contains(&(pod.namespace.clone(), pod.name.clone()))
    }

    /// True where a namespace's pods open nothing.
    pub(super) fn is_shut(&self, meter: &Meter<'_>, namespace: &str) -> bool {
        !self.shut.is_empty() && meter.owners.get(namespace).is_some_and(|owner| self.shut.contains(owner))
    }
}

/// The claims, of so much each, that go where all of them are more than the limit: nothing where they are not.
pub(super) fn cut(claims: &[(Payer, usize)], limit: usize) -> Vec<bool> {
    let mut total: usize = claims.iter().map(|(_, cost)| cost).sum();
    if total <= limit {
        return Vec::new();
    }
    let mut of_payer: BTreeMap<Payer, (usize, Vec<usize>)> = BTreeMap::new();
    for (index, (payer, cost)) in claims.iter().enumerate() {
        let (sum, own) = of_payer.entry(*payer).or_default();
        *sum += cost;
        own.push(index);
    }
    for (_, own) in of_payer.values_mut() {
        // The largest last; of equals the first in order stays longest.
        own.sort_by_key(|&index| (claims[index].1, std::cmp::Reverse(index)));
    }
    let mut most: BinaryHeap<(usize, Payer)> = of_payer.iter().map(|(payer, (sum, _))| (*sum, *payer)).collect();
    let mut is_cut = vec![false; claims.len()];
    while total > limit
        && let Some((sum, payer)) = most.pop()
    {
        let Some(index) = of_payer.get_mut(&payer).and_then(|(_, own)| own.pop()) else { continue };
        let cost = claims[index].1;
        is_cut[index] = true;
        total -= cost;
        most.push((sum - cost, payer));
    }
    is_cut
}
