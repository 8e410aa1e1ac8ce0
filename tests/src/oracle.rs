//! The cyclonus oracle: 230 cases of NetworkPolicy, with every verdict at both ends.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use agent::ingest::{Assigned, Manifests};
use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
use policy::model::World;
use serde::Deserialize;
use serde_json::{Value, json};

/// A case: the same probes after each of its steps.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Case {
    pub description: String,
    pub steps: Vec<Step>,
}

/// A world, and what becomes of every probe in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// Labels by name.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pods: Vec<Pod>,
    policies: Option<Vec<Value>>,
    /// By source, destination and `PROTOCOL/PORT`: whether ingress, egress and both allow.
    results: BTreeMap<String, BTreeMap<String, BTreeMap<String, [String; 3]>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pod {
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    #[serde(rename = "IP")]
    ip: String,
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
    port: u16,
    protocol: String,
    port_name: String,
}

/// A probe, and what the oracle says becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// `NAMESPACE/POD`
    pub from: &'a str,
    pub to: &'a str,
    /// `PROTOCOL/PORT`
    pub port: &'a str,
    /// `allowed` or `blocked`: by ingress, by egress and by both.
    pub said: &'a [String; 3],
}

/// # Errors
/// The file cannot be read or does not have all cases.
pub fn oracle() -> Result<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("worlds/cyclonus.json.gz");
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let cases: Vec<Case> = serde_json::from_str(&text)?;
    ensure!(cases.len() == 230, "the oracle has {} cases, not 230", cases.len());
    Ok(cases)
}

impl Step {
    /// # Errors
    /// The manifests are refused.
    pub fn world(&self) -> Result<World> {
        Ok(self.manifests()?.world(&Assigned::default())?.world)
    }

    /// # Errors
    /// The manifests cannot be read.
    pub fn manifests(&self) -> Result<Manifests> {
        let file = tempfile::Builder::new().suffix(".json").tempfile()?;
        std::fs::write(file.path(), self.json().to_string())?;
        Ok(Manifests::read(&[file.path().to_owned()])?)
    }

    /// All but a pod's to itself: nothing can block them.
    pub fn probes(&self) -> impl Iterator<Item = Probe<'_>> {
        let cells = self.results.iter().flat_map(|(from, row)| row.iter().map(move |(to, cell)| (from, to, cell)));
        cells
            .filter(|(from, to, _)| from != to)
            .flat_map(|(from, to, cell)| cell.iter().map(move |(port, said)| Probe { from, to, port, said }))
    }

    /// As `kubectl get -o json` would show it.
    fn json(&self) -> Value {
        let namespaces = self.namespaces.iter().map(
            |(name, labels)| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        );
        let pods = self.pods.iter().map(|pod| {
            let container = |container: &Container| {
                let Container { name, port, protocol, port_name } = container;
                json!({"name": name, "ports": [{"name": port_name, "containerPort": port, "protocol": protocol}]})
            };
            // Pods that a case creates later all have one placeholder: they get addresses of their own.
            let shared = self.pods.iter().filter(|other| other.ip == pod.ip).count() > 1;
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": pod.labels},
                "spec": {"containers": pod.containers.iter().map(container).collect::<Vec<_>>()},
                "status": {"phase": "Running", "podIP": if shared { Value::Null } else { json!(pod.ip) }},
            })
        });
        // Some of the oracle's policies leave their kind to the list that they come in.
        let policies =
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": self.policies});
        let items: Vec<Value> = namespaces.chain(pods).chain([policies]).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}
