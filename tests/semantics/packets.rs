//! Cases judged by real packets: all that run under one configuration share a lab, each in namespaces of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use agent::ingest::{Manifests, ObjectId};
use agent::lab::{Checked, Cni, Flow, Lab, UpOptions};
use anyhow::{Context, Result};
use policy::ask::End;
use serde_json::Value;
use tests::inside::{Inside, listing};
use tests::lab::Tried;
use tests::live::Connection;

use crate::flow::{Flows, Verdict};
use crate::model::wrong;
use crate::scenario::{Fate, Scenario, Stage};

/// What packets did otherwise than the cases say, by the case's name.
pub type Problems = BTreeMap<String, Vec<String>>;

/// Plays cases, each group of one configuration in a lab of its own.
pub fn play(scenarios: &[&Scenario], cni: Cni) -> Result<Problems> {
    let mut groups: BTreeMap<String, Vec<&Scenario>> = BTreeMap::new();
    for scenario in scenarios {
        groups.entry(scenario.head.config.to_string()).or_default().push(scenario);
    }
    let mut problems = Problems::new();
    for (number, group) in groups.values().enumerate() {
        let tried = Tried::new(&format!("case-{cni}-{number}"));
        Field::new(&tried, group, cni)?.play(&mut problems)?;
    }
    Ok(problems)
}

/// A lab with the cases that are played in it.
struct Field<'a> {
    lab: Lab,
    cni: Cni,
    scenarios: &'a [&'a Scenario],
    held: BTreeMap<(&'a str, String), Vec<Connection>>,
}

impl<'a> Field<'a> {
    fn new(tried: &Tried, scenarios: &'a [&'a Scenario], cni: Cni) -> Result<Self> {
        let first = scenarios.iter().filter_map(|scenario| scenario.stages.first());
        let manifests = merged(first)?;
        let config = scenarios.first().map(|scenario| scenario.config()).transpose()?.flatten();
        let external = externals(scenarios);
        let options =
            UpOptions { config: config.as_ref().map(|it| it.path().to_owned()), external, ..Tried::options(cni) };
        Ok(Self { lab: Lab::up(&tried.0, manifests, &options)?, cni, scenarios, held: BTreeMap::new() })
    }

    fn play(mut self, problems: &mut Problems) -> Result<()> {
        let last = self.scenarios.iter().map(|scenario| scenario.stages.len()).max().unwrap_or_default();
        for number in 0..last {
            let stages: Vec<(&'a str, &'a Stage)> =
                self.scenarios.iter().filter_map(|it| Some((it.name.as_str(), it.stages.get(number)?))).collect();
            if number > 0 {
                self.change(&stages)?;
            }
            self.judge(&stages, |name, problem| {
                problems.entry(name.to_owned()).or_default().push(format!("stage {}: {problem}", number + 1));
            })?;
            let listing = listing(&self.lab);
            for (name, stage) in &stages {
                for flows in &stage.held {
                    let connections = self.connect(&listing, flows)?;
                    self.held.insert((name, flows.to_string()), connections);
                }
            }
        }
        self.lab.remove()
    }

    fn change(&mut self, stages: &[(&str, &Stage)]) -> Result<()> {
        self.lab.apply(merged(stages.iter().map(|(_, stage)| *stage))?)?;
        let deleted: Vec<ObjectId> = stages.iter().flat_map(|(_, stage)| stage.deleted.clone()).collect();
        if deleted.is_empty() { Ok(()) } else { self.lab.delete(&deleted) }
    }

    fn judge(&mut self, stages: &[(&'a str, &'a Stage)], mut complain: impl FnMut(&str, String)) -> Result<()> {
        for (name, stage) in stages {
            for (flows, fate) in &stage.fates {
                let connections = self.held.get_mut(&(*name, flows.to_string()));
                let connections = connections.with_context(|| format!("{name}: nobody holds {flows}"))?;
                let carried: Vec<bool> = connections.iter_mut().flat_map(Connection::carries).collect();
                if carried.iter().any(|carried| *carried != (*fate == Fate::GoesOn)) {
                    complain(name, format!("{flows}: {fate:?} is not what became of it: {carried:?}"));
                }
            }
        }
        let asked = stages.iter().flat_map(|(_, stage)| &stage.expected);
        let asked: Vec<Flow> = asked.flat_map(|(flows, _)| flows.each()).collect();
        let report = self.lab.check_flows(&asked, || Ok(()))?;
        for (name, stage) in stages {
            for (flows, verdict) in &stage.expected {
                let checked = report.verdicts.iter().filter(|checked| flows.includes(&checked.record));
                checked.filter_map(|checked| difference(checked, verdict)).for_each(|it| complain(name, it));
            }
        }
        Ok(())
    }

    /// One connection for each address family.
    fn connect(&self, listing: &Value, flows: &Flows) -> Result<Vec<Connection>> {
        let pod = |end: &End| match end {
            End::Pod(key) => Ok(Inside::listed(&self.lab, self.cni, listing, &key.namespace, &key.name)),
            _ => anyhow::bail!("{flows}: only connections between pods are held"),
        };
        let (from, to) = (pod(&flows.from)?, pod(&flows.to)?);
        let port = flows.ports.first().context("a port")?.port();
        Ok([0, 1].map(|family| Connection::open(&from, &to, family, port)).into())
    }
}

/// The kernel against the model, and both against the case.
fn difference(checked: &Checked, verdict: &Verdict) -> Option<String> {
    let said = checked.difference().or_else(|| verdict.difference(&checked.record))?;
    Some(wrong(&checked.record, &said, verdict))
}

fn merged<'a>(stages: impl Iterator<Item = &'a Stage>) -> Result<Manifests> {
    let mut manifests = Manifests::default();
    for stage in stages {
        manifests.merge(stage.manifests()?);
    }
    Ok(manifests)
}

/// Addresses outside the cluster that the lab's world has to own: those that cases send from and to, and those of nodes
/// other than the lab's.
fn externals(scenarios: &[&Scenario]) -> Vec<IpAddr> {
    let stages = || scenarios.iter().flat_map(|scenario| &scenario.stages);
    let ends = stages().flat_map(|stage| &stage.expected).flat_map(|(flows, _)| [&flows.from, &flows.to]);
    let named = ends.filter_map(|end| match end {
        End::Address(address) => Some(*address),
        End::Pod(_) | End::Node(_) | End::Service { .. } => None,
    });
    let nodes = stages().flat_map(|stage| &stage.applied).filter(|object| object["kind"] == "Node");
    let addresses = nodes.flat_map(|node| node["status"]["addresses"].as_array().cloned().unwrap_or_default());
    let of_nodes = addresses.filter_map(|it| it["address"].as_str()?.parse().ok());
    named.chain(of_nodes).collect::<BTreeSet<_>>().into_iter().collect()
}
