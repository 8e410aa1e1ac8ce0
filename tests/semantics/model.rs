//! A case judged by the model: no root, no kernel.

use agent::config;
use agent::ingest::{Assigned, Manifests};
use anyhow::{Context, Result, ensure};
use policy::ask::{End, Engine, FlowPort, Record, Said};
use policy::model::World;

use crate::flow::Flows;
use crate::scenario::{Fate, Scenario, Stage, manifests};

/// What the model says otherwise than the case.
pub fn problems(scenario: &Scenario) -> Result<Vec<String>> {
    let file = scenario.config()?;
    let settings = file.as_ref().map(|file| config::read(file.path())).transpose()?.unwrap_or_default();
    let mut problems = Vec::new();
    let mut objects = Manifests::default();
    let mut world = World::default();
    for (number, stage) in scenario.stages.iter().enumerate() {
        for object in &stage.deleted {
            ensure!(objects.remove(object), "there is no {object} to delete");
        }
        objects.merge(stage.manifests()?);
        let assigned: Assigned = world.pods.iter().map(|(key, pod)| (key.clone(), pod.addresses.clone())).collect();
        let mut next = objects.world(&assigned)?.world;
        next.hold_policies(&world);
        world = next;
        let engine = Engine::new(&world, &settings.policy)?;
        let found = differences(&engine, stage)?.into_iter().chain(accepted(&objects, stage)?);
        problems.extend(found.map(|problem| format!("stage {}: {problem}", number + 1)));
    }
    Ok(problems)
}

fn differences(engine: &Engine<'_>, stage: &Stage) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (flows, verdict) in &stage.expected {
        let records = records(engine, flows)?;
        differences.extend(records.iter().filter_map(|it| Some(wrong(it, &verdict.difference(it)?, verdict))));
    }
    for (flows, fate) in &stage.fates {
        // A connection lives on while what opened it is allowed.
        for record in records(engine, flows)? {
            let expected = if record.verdict == Said::Drop { Fate::Cut } else { Fate::GoesOn };
            if expected != *fate {
                differences.push(wrong(&record, &format!("{expected:?}"), &format!("{fate:?}")));
            }
        }
    }
    Ok(differences)
}

/// The verdicts on flows.
pub fn records(engine: &Engine<'_>, flows: &Flows) -> Result<Vec<Record>> {
    if let End::Service { namespace, name } = &flows.to {
        let call = |port: &FlowPort| engine.explain_call(&flows.from, namespace, name, Some(*port));
        let explained = flows.ports.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        let mut records: Vec<_> = explained.into_iter().flatten().map(|explanation| explanation.record).collect();
        records.retain(|record| flows.includes(record));
        ensure!(!records.is_empty(), "{flows}: nothing is said of it");
        return Ok(records);
    }
    let mut records = Vec::new();
    for from in engine.parties(&flows.from)? {
        for to in engine.parties(&flows.to)?.iter().filter(|to| to.address.is_ipv4() == from.address.is_ipv4()) {
            records.extend(flows.ports.iter().map(|port| engine.ask(&from, to, *port)));
        }
    }
    records.retain(|record| flows.includes(record));
    ensure!(!records.is_empty(), "{flows}: the two ends share no address family");
    Ok(records)
}

/// A record, and what it should have said.
pub fn wrong(record: &Record, said: &str, expected: &impl std::fmt::Display) -> String {
    let Record { from, from_ip, to, to_ip, protocol, port, .. } = record;
    format!("{from} {from_ip} -> {to} {to_ip} {protocol}/{port}: {said}, not: {expected}")
}

/// Objects that should be refused and are not, or in other words.
fn accepted(objects: &Manifests, stage: &Stage) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for refused in &stage.refused {
        let mut more = objects.clone();
        more.merge(manifests(std::slice::from_ref(&refused.object)).context("an object that should be refused")?);
        match more.world(&Assigned::default()) {
            Ok(_) => problems.push(format!("{} is accepted, not refused: {}", refused.object, refused.because)),
            Err(errors) if errors.to_string().contains(&refused.because) => {}
            Err(errors) => problems.push(format!("refused with `{errors}`, not `{}`", refused.because)),
        }
    }
    Ok(problems)
}
