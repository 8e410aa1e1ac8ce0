//! Counts what the NetworkPolicies of each namespace take, and stops a compile whose budget does not suffice.

mod blocks;

use std::collections::BTreeMap;

use super::CompileError;
use super::budget::{Budget, Excess, Resource};
use super::hash::HashMap;
use super::ids::Digest;
use super::set::PolicySet;
use super::subjects::Sets;
use crate::model::World;
use crate::model::tenants::Tenancy;

/// Why a compile ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Error(CompileError),
    /// Another one is to go without the rules of these.
    Over(Over),
}

impl From<CompileError> for Stop {
    fn from(error: CompileError) -> Self {
        Self::Error(error)
    }
}

#[derive(Debug)]
pub(super) enum Over {
    Namespaces(Vec<Excess>),
    /// Sets that only the compile before used.
    Previous,
}

/// What a compile goes without.
#[derive(Debug, Default)]
pub(super) struct Without {
    namespaces: BTreeMap<String, Excess>,
    /// What only old sets allow drops until the endpoints have left them, as after a restart.
    pub(super) previous: bool,
}

impl Without {
    pub(super) fn add(&mut self, over: Over) {
        match over {
            Over::Namespaces(excesses) => {
                self.namespaces.extend(excesses.into_iter().map(|excess| (excess.namespace.clone(), excess)));
            }
            Over::Previous => self.previous = true,
        }
    }

    /// True where the rules of a namespace's policies are left out.
    pub(super) fn is_closed(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    pub(super) fn into_excesses(self) -> Vec<Excess> {
        self.namespaces.into_values().collect()
    }
}

/// Who pays for what a set takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payer<'s> {
    /// No rule of a NetworkPolicy is in it.
    Administrators,
    Namespace(&'s str),
    /// It is a set of the compile before.
    Previous,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) rules: usize,
    /// As if every pod were told apart from all others, so that nobody pays for labels that others select on.
    pub(super) weight: usize,
    pub(super) ports: usize,
}

#[derive(Clone)]
pub(super) struct Meter<'a> {
    pub(super) budget: &'a Budget,
    without: &'a Without,
    tenancy: &'a Tenancy<'a>,
    /// By namespace: the number of its owner, in [`Meter::work`].
    pub(super) owners: HashMap<&'a str, usize>,
    work: Vec<usize>,
    previous: Cost,
    previous_work: usize,
    pub(super) costs: BTreeMap<&'a str, Cost>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(world: &'a World, tenancy: &'a Tenancy<'a>, budget: &'a Budget, without: &'a Without) -> Self {
        let mut next = tenancy.tenants().len();
        let owners = world.namespaces.keys().zip(tenancy.by_namespace()).map(|(name, owner)| {
            let owner = owner.tenant().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            (name.as_str(), owner)
        });
        let owners = owners.collect();
        Self {
            budget,
            without,
            tenancy,
            owners,
            work: vec![0; next],
            previous: Cost::default(),
            previous_work: 0,
            costs: BTreeMap::new(),
        }
    }

    pub(super) fn is_closed(&self, namespace: &str) -> bool {
        self.without.is_closed(namespace)
    }

    pub(super) fn payer<'s>(&self, content: &Digest, set: &'s PolicySet, current: &Sets) -> Payer<'s> {
        match set.namespace() {
            _ if !current.contains_key(content) => Payer::Previous,
            Some(namespace) if !self.is_closed(namespace) => Payer::Namespace(namespace),
            Some(_) | None => Payer::Administrators,
        }
    }

    /// What may still be spent for a set. A namespace that is not known has no policies to be enforced.
    pub(super) fn allowance(&self, payer: Payer<'_>) -> usize {
        match payer {
            Payer::Administrators => usize::MAX,
            Payer::Previous => self.budget.work.saturating_sub(self.previous_work),
            Payer::Namespace(name) => {
                let spent = self.owners.get(name).and_then(|&owner| self.work.get(owner));
                self.budget.work.saturating_sub(spent.copied().unwrap_or_default())
            }
        }
    }

    /// Spends what is not needed to enforce a namespace's policies, if there is so much left.
    pub(super) fn affords(&mut self, namespace: &str, work: usize) -> bool {
        let payer = Payer::Namespace(namespace);
        work <= self.allowance(payer) && self.spend(payer, work).is_ok()
    }

    pub(super) fn spend(&mut self, payer: Payer<'_>, work: usize) -> Result<(), Stop> {
        let within = work <= self.allowance(payer);
        match payer {
            Payer::Administrators => {}
            Payer::Previous => self.previous_work = self.previous_work.saturating_add(work),
            Payer::Namespace(name) => {
                if let Some(spent) = self.owners.get(name).and_then(|&owner| self.work.get_mut(owner)) {
                    *spent = spent.saturating_add(work);
                }
            }
        }
        if within { Ok(()) } else { Err(self.over(payer, Resource::Work, self.budget.work.saturating_add(work))) }
    }

    /// Rows of a set for identities of so many pods, or for classes (of one each). Who has to go where they are too many
    /// is seen when all of them are there: it may be somebody who tells pods apart.
    pub(super) fn rows(&mut self, payer: Payer<'_>, rows: usize, pods: usize) -> Result<(), Stop> {
        let limit = self.budget.rules;
        let Some(cost) = self.cost(payer) else { return Ok(()) };
        cost.rules += rows;
        cost.weight += pods;
        let needed = cost.rules;
        let is_over = payer == Payer::Previous && needed > limit;
        if is_over { Err(self.over(payer, Resource::Rules, needed)) } else { Ok(()) }
    }

    pub(super) fn program(&mut self, payer: Payer<'_>, rows: usize) -> Result<(), Stop> {
        let limit = self.budget.ports;
        let Some(cost) = self.cost(payer) else { return Ok(()) };
        cost.ports += rows;
        let needed = cost.ports;
        if needed > limit { Err(self.over(payer, Resource::Ports, needed)) } else { Ok(()) }
    }

    fn cost(&mut self, payer: Payer<'_>) -> Option<&mut Cost> {
        match payer {
            Payer::Administrators => None,
            Payer::Previous => Some(&mut self.previous),
            Payer::Namespace(name) => {
                let (name, _) = self.owners.get_key_value(name)?;
                Some(self.costs.entry(name).or_default())
            }
        }
    }

    pub(super) fn over(&self, payer: Payer<'_>, of: Resource, needed: usize) -> Stop {
        Stop::Over(match payer {
            Payer::Namespace(name) => Over::Namespaces(vec![self.excess(name, of, needed)]),
            Payer::Administrators | Payer::Previous => Over::Previous,
        })
    }

    pub(super) fn excess(&self, namespace: &str, of: Resource, needed: usize) -> Excess {
        let tenant = self.tenancy.of_namespace(namespace).and_then(|tenant| self.tenancy.names().get(tenant)).cloned();
        Excess { namespace: namespace.to_owned(), tenant, of, needed, limit: self.limit(of), about: None }
    }

    pub(super) const fn limit(&self, of: Resource) -> usize {
        match of {
            Resource::Rules => self.budget.rules,
            Resource::Ports => self.budget.ports,
            Resource::Ranges => self.budget.ranges,
            Resource::Ids => self.budget.ids,
            Resource::Work => self.budget.work,
            Resource::Services | Resource::Delegates => self.budget.services,
            Resource::Closed => self.budget.closed,
            Resource::Intervals => common::abi::ProgramRef::MAX_ROWS as usize,
        }
    }
}
