//! World to tables: a pure function, run whole at every change.

mod budget;
mod class;
mod closed;
mod cluster;
mod endpoints;
mod error;
mod hash;
mod hold;
mod identity;
mod ids;
mod input;
mod label_index;
mod matching;
mod mentions;
mod meter;
mod numbering;
mod peers;
mod program;
mod rows;
mod services;
mod set;
mod set_programs;
mod settle;
mod subjects;
mod tables;

use common::abi::TenantId;

pub use budget::{Budget, Excess, Resource};
pub use error::CompileError;
pub use hold::hold;
pub use ids::{Digest, Id, Ids, Kind};
pub use input::{Binding, Input, NodeView};
pub use set::{Peers, PolicySet, Scope, SetPeer, SetRule, Tier};
pub use tables::{Desired, Provenance, Tables};

use self::identity::Identities;
use self::meter::{Meter, Stop, Without};
use self::numbering::Numbering;
use self::subjects::Sets;
use crate::model::tenants::{Finding, Tenancy};

/// A compiled world, and what the next compile has to know of it.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub desired: Desired,
    /// What somebody should look at in the marks of tenancy.
    pub findings: Vec<Finding>,
    /// Namespaces whose NetworkPolicies ask for more than the budget: they allow nothing.
    pub excesses: Vec<Excess>,
    /// True where the tables still hold rows of sets that only the compile before used. Once this one is in
    /// force, compiling again with it as `previous` lets go of them.
    pub leftovers: bool,
    /// The sets that this world's endpoints use.
    sets: Sets,
}

/// Compiles a world for questions about it: NetworkPolicies may take what they need, but for the intervals of a program.
///
/// # Errors
/// As [`compile_within`].
pub fn compile(input: &Input<'_>, ids: &Ids, previous: Option<&Compiled>) -> Result<Compiled, CompileError> {
    compile_within(input, ids, previous, &Budget::UNLIMITED)
}

/// Compiles a world, of whose NetworkPolicies those fail closed that do not fit into a budget.
///
/// `ids` is what the kernel's `IDS` map holds: those numbers are given to nothing else. `previous` is the
/// compile that is in force, whose sets stay complete for every pod and address of the new world until the
/// endpoints have left them; without it (after a restart) what only old sets allow drops until then.
///
/// # Errors
/// Where numbers do not suffice. Nothing is left out instead.
pub fn compile_within(
    input: &Input<'_>,
    ids: &Ids,
    previous: Option<&Compiled>,
    budget: &Budget,
) -> Result<Compiled, CompileError> {
    let tenancy = Tenancy::of(input.world, input.config);
    let mut without = Without::default();
    loop {
        let previous = previous.filter(|_| !without.previous);
        let mut meter = Meter::new(input.world, &tenancy, budget, &without);
        match attempt(input, ids, previous, &tenancy, &mut meter) {
            Ok(compiled) => return Ok(Compiled { excesses: without.into_excesses(), ..compiled }),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Over(over)) => without.add(over),
        }
    }
}

/// One compile, which ends early where some policies have to be left out.
fn attempt(
    input: &Input<'_>,
    ids: &Ids,
    previous: Option<&Compiled>,
    tenancy: &Tenancy<'_>,
    meter: &mut Meter<'_>,
) -> Result<Compiled, Stop> {
    let (subjects, sets) = subjects::subjects(input, tenancy, meter)?;
    let mut live = sets.clone();
    live.extend(previous.into_iter().flat_map(|previous| previous.sets.clone()));
    let mentions = mentions::Mentions::of(live.values().map(AsRef::as_ref));
    let identities = Identities::of(input.world, tenancy, &mentions);
    let mut classes = meter.classes(&mentions, &live, &sets)?;
    let homes = classes.homes(&identities, &mentions);
    let nodes = classes.nodes(input, &mentions);

    let mut numbering = Numbering::new(ids);
    let rows = rows::Rows {
        identities: &identities,
        classes: &classes,
        tenancy,
        numbering: &mut numbering,
        meter: &mut *meter,
        compiled: rows::Compiled::default(),
    };
    let rows = rows.compile(&live, &sets)?;
    let tenant_numbers = number_tenants(tenancy, &mut numbering)?;
    let closed = closed::closed(input.world, &identities, meter);
    let peers = peers::Peers {
        input: *input,
        identities: &identities,
        closed: &closed,
        classes: &classes,
        homes: &homes,
        nodes: &nodes,
        identity_numbers: &rows.identities,
        class_numbers: &rows.classes,
        tenant_numbers: &tenant_numbers,
    };
    let mut tables = Tables { peers: peers.addresses(), ranges: peers.ranges(), ..Tables::default() };
    let services = services::fill(input, &mut numbering, &mut tables)?;
    let endpoints = endpoints::Endpoints { input: *input, sets: &rows.sets, tenant_numbers: &tenant_numbers };
    endpoints.fill(&subjects, &mut numbering, &mut tables)?;
    tables.rules = rows.rules.into_iter().collect();
    tables.ports = rows.ports;

    let names = tenancy.names().iter().cloned();
    let provenance =
        Provenance { rules: rows.sources, tenants: tenant_numbers.into_iter().zip(names).collect(), services };
    Ok(Compiled {
        desired: Desired { tables, provenance, ids: numbering.into_ids() },
        findings: tenancy.findings().to_vec(),
        excesses: Vec::new(),
        leftovers: live.len() > sets.len(),
        sets,
    })
}

fn number_tenants(tenancy: &Tenancy<'_>, numbering: &mut Numbering<'_>) -> Result<Vec<TenantId>, CompileError> {
    tenancy.tenants().iter().map(|tenant| numbering.tenant(tenant, tenant.is_quarantine())).collect()
}
