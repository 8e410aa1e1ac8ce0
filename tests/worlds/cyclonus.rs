//! All cases of the cyclonus oracle, from manifests through the matrix: 230 of them, with every verdict at both ends.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use agent::ingest;
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use policy::ask::{Engine, FlowPort, MatrixQuery, Record, Said};
use policy::model::Config;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Case {
    description: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    /// Labels by name.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pods: Vec<Pod>,
    policies: Option<Vec<Value>>,
    /// By source, destination and `PROTOCOL/PORT`: whether ingress, egress and both allow.
    results: BTreeMap<String, BTreeMap<String, BTreeMap<String, [String; 3]>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pod {
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    #[serde(rename = "IP")]
    ip: String,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
    port: u16,
    protocol: String,
    port_name: String,
}

#[test]
fn every_verdict_of_every_case_agrees() -> Result<()> {
    let cases = oracle()?;
    ensure!(cases.len() == 230, "the oracle has {} cases, not 230", cases.len());
    let folder = tempfile::tempdir()?;
    let mut verdicts = 0;
    for (agreed, case) in cases.iter().enumerate() {
        for (number, step) in case.steps.iter().enumerate() {
            let world = folder.path().join("world.json");
            std::fs::write(&world, manifests(step).to_string())?;
            verdicts += compare(&world, step).with_context(|| {
                format!("case {} (\"{}\"), step {}: {agreed} cases agree", agreed + 1, case.description, number + 1)
            })?;
        }
    }
    println!("{} cases agree: {verdicts} flows, judged at both ends", cases.len());
    Ok(())
}

fn oracle() -> Result<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("worlds/cyclonus.json.gz");
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// The step as `kubectl get -o json` would show it.
fn manifests(step: &Step) -> Value {
    let namespaces = step.namespaces.iter().map(
        |(name, labels)| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
    );
    let pods = step.pods.iter().map(|pod| {
        let container = |container: &Container| {
            let Container { name, port, protocol, port_name } = container;
            json!({"name": name, "ports": [{"name": port_name, "containerPort": port, "protocol": protocol}]})
        };
        // Pods that a case creates later all have one placeholder: they get addresses of their own.
        let shared = step.pods.iter().filter(|other| other.ip == pod.ip).count() > 1;
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": pod.labels},
            "spec": {"containers": pod.containers.iter().map(container).collect::<Vec<_>>()},
            "status": {"phase": "Running", "podIP": if shared { Value::Null } else { json!(pod.ip) }},
        })
    });
    // Some of the oracle's policies leave their kind to the list that they come in.
    let policies = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": step.policies});
    let items: Vec<Value> = namespaces.chain(pods).chain([policies]).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// The number of flows, all of whose verdicts agree. A pod's flows to itself are left out: nothing can block them.
fn compare(world: &Path, step: &Step) -> Result<usize> {
    let loaded = ingest::load(&[world.to_owned()])?;
    let config = Config::default();
    let engine = Engine::new(&loaded.world, &config)?;
    let ports = ports(step)?;
    let matrix = engine.matrix(&MatrixQuery { ports, ..MatrixQuery::default() })?;
    let judged: BTreeMap<(&str, &str, String), &Record> = matrix
        .verdicts
        .iter()
        .map(|record| ((record.from.as_str(), record.to.as_str(), port_name(record)), record))
        .collect();
    let mut verdicts = 0;
    for (from, row) in &step.results {
        for (to, cell) in row.iter().filter(|(to, _)| *to != from) {
            for (port, [ingress, egress, both]) in cell {
                let record = judged
                    .get(&(from.as_str(), to.as_str(), port.clone()))
                    .with_context(|| format!("{from} to {to} on {port} was not judged"))?;
                let said = [record.ingress.verdict, record.egress.verdict, record.verdict].map(cyclonus_word);
                ensure!(
                    said == [ingress.as_str(), egress, both],
                    "{from} to {to} on {port}: ingress, egress, both are {said:?}, cyclonus says {:?}\n{record:#?}",
                    [ingress, egress, both]
                );
                verdicts += 1;
            }
        }
    }
    Ok(verdicts)
}

fn ports(step: &Step) -> Result<Vec<FlowPort>> {
    let cells = step.results.values().flat_map(BTreeMap::values);
    let mut names: Vec<&String> = cells.flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
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
