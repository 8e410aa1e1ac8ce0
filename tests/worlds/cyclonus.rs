//! All cases of the cyclonus oracle, from manifests through the matrix, with every verdict at both ends.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use policy::ask::{Engine, FlowPort, MatrixQuery, Record, Said};
use policy::model::Config;
use tests::oracle::{Step, oracle};

#[test]
fn every_verdict_of_every_case_agrees() -> Result<()> {
    let cases = oracle()?;
    let mut verdicts = 0;
    for (agreed, case) in cases.iter().enumerate() {
        for (number, step) in case.steps.iter().enumerate() {
            verdicts += compare(step).with_context(|| {
                format!("case {} (\"{}\"), step {}: {agreed} cases agree", agreed + 1, case.description, number + 1)
            })?;
        }
    }
    println!("{} cases agree: {verdicts} flows, judged at both ends", cases.len());
    Ok(())
}

/// The number of flows, all of whose verdicts agree.
fn compare(step: &Step) -> Result<usize> {
    let (world, config) = (step.world()?, Config::default());
    let engine = Engine::new(&world, &config)?;
    let ports = ports(step)?;
    let matrix = engine.matrix(&MatrixQuery { ports, ..MatrixQuery::default() })?;
    let records: Vec<Record> = matrix.records().collect();
    let judged: BTreeMap<(&str, &str, String), &Record> =
        records.iter().map(|record| ((&*record.from, &*record.to, port_name(record)), record)).collect();
    let mut verdicts = 0;
    for probe in step.probes() {
        let record = judged
            .get(&(probe.from, probe.to, probe.port.to_owned()))
            .with_context(|| format!("{probe:?} was not judged"))?;
        let said = [record.ingress.verdict, record.egress.verdict, record.verdict].map(cyclonus_word);
        ensure!(said == *probe.said, "ingress, egress, both are {said:?}, cyclonus says {probe:?}\n{record:#?}");
        verdicts += 1;
    }
    Ok(verdicts)
}

fn ports(step: &Step) -> Result<Vec<FlowPort>> {
    let names: BTreeSet<&str> = step.probes().map(|probe| probe.port).collect();
    names.into_iter().map(|name| name.parse().map_err(anyhow::Error::msg)).collect()
}

fn port_name(record: &Record) -> String {
    format!("{}/{}", record.protocol, record.port)
}

const fn cyclonus_word(said: Said) -> &'static str {
    match said {
        Said::Allow => "allowed",
        Said::Drop => "blocked",
    }
}
