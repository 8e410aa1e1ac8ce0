//! How much of a node NetworkPolicies may take (DESIGN.md §4): what asks for more fails closed, namespace by namespace,
//! beginning with the tenant that takes most. No administrator's policy, no change of tenancy and nobody else's policy
//! ever waits for room.

use std::fmt;

use crate::model::ObjectRef;

/// Entries that a compiled world may have in maps that grow with NetworkPolicies, and work that one owner's may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub rules: usize,
    pub ports: usize,
    /// Of each family.
    pub ranges: usize,
    pub ids: usize,
    /// Keys of Services, and delegates.
    pub services: usize,
    /// Addresses and ports of Services for which there is no room, each of which is still known as undecided.
    pub closed: usize,
    /// Of the policies of one owner: a tenant, or a namespace without one. About 20 ns each.
    pub work: usize,
}

impl Budget {
    /// No bound: for questions about a world, which no kernel has to hold.
    pub const UNLIMITED: Self = Self {
        rules: usize::MAX,
        ports: usize::MAX,
        ranges: usize::MAX,
        ids: usize::MAX,
        services: usize::MAX,
        closed: usize::MAX,
        work: usize::MAX,
    };

    /// What an owner's policies may make a compile do: five times what 100 policies of 100 peers each take for 110 pods.
    pub const WORK: usize = 2_000_000;
}

/// The NetworkPolicies of a namespace ask for more than there is: its pods are isolated where one of them isolates, and
/// nothing is allowed. Or its Services do: what they lead to is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excess {
    pub namespace: String,
    /// As people read it; `None` for the platform.
    pub tenant: Option<String>,
    pub of: Resource,
    /// What they, or with them the policies of the whole node, would take.
    pub needed: usize,
    pub limit: usize,
    /// The first Service, or pod with host ports, that it is about, and how many there are.
    pub about: Option<(ObjectRef, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    Rules,
    Ports,
    Ranges,
    Ids,
    Work,
    /// Of one program: the rules for one peer.
    Intervals,
    /// Addresses and ports at which Services are called.
    Services,
    /// What is left of Services that have no room for them.
    Closed,
    /// Backends of several kinds, for each caller's rules.
    Delegates,
}

impl Resource {
    /// Whose bound it is, what is bounded, and what to do.
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Rules => ("the node's policies", "rules", "let them select fewer peers, or raise maps.rules"),
            Self::Ports => ("the node's policies", "port rows", "let them name fewer ports, or raise maps.ports"),
            Self::Ranges => ("the node's policies", "address ranges", "let them name fewer, or raise maps.ranges"),
            Self::Ids => ("the node's policies", "ids", "write fewer rules, or raise maps.ids"),
            Self::Work => ("a tenant's policies on a node", "steps of work", "write fewer rules with fewer peers"),
            Self::Intervals => {
                ("the rules for one peer", "intervals of ports", "name ranges (endPort) instead of ports")
            }
            Self::Services => (
                "the cluster's Services",
                "addresses and ports",
                "let them have fewer externalIPs and ports, or raise maps.services",
            ),
            Self::Closed => (
                "Services without room",
                "addresses and ports",
                "let them have fewer externalIPs and ports, or raise maps.services",
            ),
            Self::Delegates => (
                "the cluster's Services",
                "verdicts about differing backends",
                "let fewer labels tell their backends apart, or raise maps.services",
            ),
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, tenant, of, needed, limit, .. } = self;
        let (whose, what, remedy) = of.words();
        write!(f, "namespace/{namespace}")?;
        if let Some(tenant) = tenant {
            write!(f, " (tenant {tenant})")?;
        }
        let effect = match (&self.about, of) {
            (None, _) => "its NetworkPolicies allow nothing (capacity)".to_owned(),
            (Some(_), Resource::Closed) => "its pods open no connection (capacity)".to_owned(),
            (Some((object, 1)), _) => format!("calls of {object} drop (service_undecided)"),
            (Some((object, all)), _) => format!("calls of {object} and {} more drop (service_undecided)", all - 1),
        };
        write!(
            f,
            ": {effect}, because {whose} may take {limit} {what} and would take \
             {needed} with them: {remedy}"
        )
    }
}
