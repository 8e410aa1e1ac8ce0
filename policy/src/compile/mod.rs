//! World to tables: a pure function, run whole at every change.

mod behind;
mod both;
mod budget;
mod class;
mod closed;
mod cluster;
mod delegates;
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
mod namespaces;
mod numbering;
mod peers;
mod policies;
mod program;
mod rewrites;
mod rows;
mod services;
mod set;
mod set_programs;
mod settle;
mod shares;
mod subjects;
mod tables;
mod tunnels;

use common::abi::TenantId;

pub use budget::{Budget, Excess, Resource};
pub use error::CompileError;
pub use hold::hold;
pub use ids::{Digest, Id, Ids, Kind};
pub use input::{Binding, Input, NodeView};
pub use set::{Peers, PolicySet, Scope, SetPeer, SetRule, Tier};
pub use tables::{Desired, Provenance, Tables};

use self::both::both;
use self::delegates::Callers;
use self::identity::Identities;
use self::meter::{Meter, Stop, Without};
use self::namespaces::Namespaces;
use self::numbering::Numbering;
use self::policies::Policies;
use self::rows::Rows;
use self::services::Services;
use self::shares::Shares;
use self::subjects::{Sets, Subject};
use crate::model::tenants::{Finding, Tenancy};

/// A compiled world, and what the next compile has to know of it.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub desired: Desired,
    /// What somebody should look at in the marks of tenancy.
    pub findings: Vec<Finding>,
    /// Namespaces whose NetworkPolicies ask for more than the budget: they allow nothing. And those whose Services do.
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
            Ok(mut compiled) => {
                compiled.excesses.splice(..0, without.into_excesses());
                return Ok(compiled);
            }
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
    let policies = Policies::of(input.world);
    let mut found = Ok(Default::default());
    let (namespaces, mut numbering) = both(
        || found = subjects::subjects(input, tenancy, &policies, ids.hash(), meter),
        || (Namespaces::of(input.world), Numbering::new(ids)),
    );
    let (subjects, sets) = found?;
    let mut live = sets.clone();
    live.extend(previous.into_iter().flat_map(|previous| previous.sets.clone()));
    let mentions = mentions::Mentions::of(live.values().map(AsRef::as_ref));
    let mut classes = meter.classes(&mentions, &live, &sets)?;
    classes.tell_unknown_pods_apart(&mentions);
    let mut identities = Identities::of(input.world, tenancy, &mentions, &classes);
    classes.tell_ports_apart(&mut identities, &mentions);
    let nodes = classes.nodes(input, &mentions);

    // An allowance of its own: nobody is closed, or not, for what the rows take.
    let mut for_doors = meter.clone();
    let (mut closed, mut digests) = (Vec::new(), Vec::with_capacity(identities.list.len()));
    let rows = Rows::new(&identities, &namespaces, &classes, &mut numbering, &mut *meter);
    let rows = both(
        || {
            closed = closed::closed(input.world, &policies, &namespaces, &identities, &mut for_doors);
            identities.add_digests(tenancy, ids.hash(), &mut digests);
        },
        || rows.of_sets(&live, &sets),
    );
    let mut rows = rows?.numbered(&digests, &live, &sets)?;
    let numbers = std::mem::take(&mut rows.numbers);
    let tenant_numbers = number_tenants(tenancy, &mut numbering)?;
    let peers = peers::Peers {
        input: *input,
        identities: &identities,
        closed: &closed,
        classes: &classes,
        nodes: &nodes,
        numbers: &numbers,
        tenant_numbers: &tenant_numbers,
    };
    let mut shares = Shares::of(input, meter, &identities.with_host_ports);
    let (desired, some_leave) = desired(&peers, rows, &subjects, tenancy, numbering, previous, (&*meter, &mut shares))?;
    Ok(Compiled {
        desired,
        findings: tenancy.findings().to_vec(),
        excesses: shares.excesses,
        leftovers: live.len() > sets.len() || some_leave,
        sets,
    })
}

/// What follows for addresses, Services and endpoints, and whether some of it is for rules that endpoints leave.
fn desired(
    peers: &peers::Peers<'_>,
    rows: rows::Compiled,
    subjects: &[Subject<'_>],
    tenancy: &Tenancy<'_>,
    mut numbering: Numbering<'_>,
    previous: Option<&Compiled>,
    (meter, shares): (&Meter<'_>, &mut Shares),
) -> Result<(Desired, bool), CompileError> {
    let peers::Peers { input, identities, tenant_numbers, .. } = *peers;
    let mut tables = Tables {
        peers: peers.addresses(),
        ranges: peers.ranges(),
        tunnels: tunnels::tunnels(input.config, input.node),
        ..Tables::default()
    };
    let endpoints = endpoints::Endpoints { input, sets: &rows.sets, tenant_numbers, meter, shares };
    endpoints.fill(subjects, &mut numbering, &mut tables)?;
    tables.rules = rows.rules.into_iter().collect();
    tables.ports = rows.ports;
    let callers = Callers::of(&tables, previous);
    let with_host_ports = &identities.with_host_ports;
    let mut services = Services { input, with_host_ports, meter, shares };
    let services = services.fill(&callers, &mut numbering, &mut tables)?;
    let tenants = tenant_numbers.iter().copied().zip(tenancy.names().iter().cloned()).collect();
    let provenance = Provenance { rules: rows.sources, tenants, services };
    Ok((Desired { tables, provenance, ids: numbering.into_ids() }, callers.some_leave))
}

fn number_tenants(tenancy: &Tenancy<'_>, numbering: &mut Numbering<'_>) -> Result<Vec<TenantId>, CompileError> {
    tenancy.tenants().iter().map(|tenant| numbering.tenant(tenant, tenant.is_quarantine())).collect()
}
