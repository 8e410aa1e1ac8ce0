//! The cluster of the budget, compiled: whole, after one change, and with a tenant that tries to stall it.

use std::time::Instant;

use anyhow::{Result, ensure};
use policy::compile::{Ids, Input, NodeView, compile_within};
use policy::model::{Config, World};
use policy::plan::{Observed, Op, prepare};

use tests::crowd::ROOM;

use crate::cluster;
use crate::report::{Budget, Row};
use crate::sample::Samples;

/// Compiles each world `rounds` times.
///
/// # Errors
/// A world does not compile.
pub fn run(rounds: u32) -> Result<Vec<Row>> {
    let (world, node) = cluster::cluster(cluster::BUDGET);
    let mut rows = vec![whole(rounds, "10,000 pods, 1,000 policies, 110 local pods", &world, &node, 20.0)?];
    rows.extend(changes(rounds, &world, &node)?);
    for (name, (world, node)) in [
        ("the same and 5,000 hostile policies", cluster::hostile_among_others()),
        ("10,000 policies, each for one pod", cluster::hostile()),
        ("10,000 policies, each for all pods but one", cluster::hostile_by_exclusion()),
    ] {
        rows.push(whole(rounds, name, &world, &node, 200.0)?);
    }
    Ok(rows)
}

/// A full compile from what is held.
fn whole(rounds: u32, name: &str, world: &World, node: &NodeView, most: f64) -> Result<Row> {
    let config = Config::default();
    let input = Input { world, config: &config, node };
    let budget = ROOM.budget();
    let mut samples = Samples::default();
    let mut compiled = compile_within(&input, &Ids::default(), None, &budget)?;
    for _ in 0..rounds {
        let ids = compiled.desired.ids.clone();
        let begin = Instant::now();
        let next = compile_within(&input, &ids, Some(&compiled), &budget)?;
        samples.add(begin.elapsed().as_secs_f64() * 1e3);
        compiled = next;
    }
    let closed = compiled.excesses.iter().map(|excess| format!(", {} closed", excess.namespace)).collect::<String>();
    let note = format!("{} rule rows{closed}, spread {:.0} %", compiled.desired.tables.rules.len(), samples.spread());
    Ok(Row::new("compile", name.to_owned(), samples.median(), "ms", Some(Budget::AtMost(most))).note(note))
}

/// What it takes to enforce one change: compile, comparison, and how many operations.
fn changes(rounds: u32, world: &World, node: &NodeView) -> Result<Vec<Row>> {
    let config = Config::default();
    let mut observed = Observed::default();
    let (before, plan) = prepare(&Input { world, config: &config, node }, &observed, None, &ROOM)?;
    plan.apply_to(&mut observed);
    let mut rows = Vec::new();
    let nothing: (&str, cluster::Change) = ("no change", |_| {});
    for (name, change) in std::iter::once(nothing).chain(cluster::CHANGES) {
        let mut changed = world.clone();
        change(&mut changed);
        let input = Input { world: &changed, config: &config, node };
        let mut samples = Samples::default();
        let mut operations = 0;
        for _ in 0..rounds {
            let begin = Instant::now();
            let (compiled, plan) = prepare(&input, &observed, Some(&before), &ROOM)?;
            samples.add(begin.elapsed().as_secs_f64() * 1e3);
            operations = plan.ops.iter().filter(|op| !matches!(op, Op::Grace | Op::RaiseEpoch { .. })).count();
            ensure!(compiled.excesses.is_empty(), "the cluster of the budget fits");
        }
        let note = format!("{operations} operations, spread {:.0} %", samples.spread());
        rows.push(Row::new("compile", name.to_owned(), samples.median(), "ms", None).note(note));
    }
    Ok(rows)
}
