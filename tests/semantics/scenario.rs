//! A case as a person writes it: `cases/TOPIC/NUMBER-NAME.yaml`.
//!
//! The first document says what the case shows and where that is said. Then come the objects of its world, and a
//! document that says what becomes of flows there. More objects after it change the world, and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agent::ingest::{Manifests, ObjectId};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::flow::{Flows, Verdict};

/// One case.
#[derive(Debug)]
pub struct Scenario {
    /// `TOPIC/NUMBER-NAME`.
    pub name: String,
    pub head: Head,
    pub stages: Vec<Stage>,
}

/// What the case shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// In a sentence.
    pub shows: String,
    /// Where it is said: row or section of semantics.md, and its source there.
    pub source: String,
    /// The configuration file that it runs under.
    #[serde(default)]
    pub config: Value,
    /// Where no packet of a lab can show it, why.
    pub model_only: Option<String>,
    /// Tests beside this one that show more of it, by file.
    #[serde(default)]
    pub also: BTreeMap<PathBuf, Vec<String>>,
}

/// What changes, and what holds then.
#[derive(Debug, Default)]
pub struct Stage {
    pub deleted: Vec<ObjectId>,
    pub applied: Vec<Value>,
    pub expected: Vec<(Flows, Verdict)>,
    /// Connections that are made now and kept.
    pub held: Vec<Flows>,
    /// What became of connections that were made before.
    pub fates: Vec<(Flows, Fate)>,
    /// Objects that are refused, and a part of what is said.
    pub refused: Vec<Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    GoesOn,
    Cut,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    pub object: Value,
    pub because: String,
}

/// A document that is no object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Directions {
    expect: BTreeMap<String, String>,
    hold: Vec<String>,
    held: BTreeMap<String, Fate>,
    refuse: Vec<Refused>,
    delete: Vec<String>,
}

/// Every case, in the order of its name.
pub fn all() -> Result<Vec<Scenario>> {
    let root = folder();
    let mut files = Vec::new();
    for topic in root.read_dir().with_context(|| format!("no folder {}", root.display()))? {
        for file in topic?.path().read_dir()? {
            files.push(file?.path());
        }
    }
    files.sort();
    files.iter().map(|file| read(file).with_context(|| file.display().to_string())).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("semantics/cases")
}

fn read(file: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(file)?;
    let mut documents = serde_yaml_ng::Deserializer::from_str(&text).map(Value::deserialize);
    let head = serde_json::from_value(documents.next().context("the file is empty")??)?;
    let (mut stages, mut stage) = (Vec::new(), Stage::default());
    for document in documents {
        let value = document?;
        if value.get("kind").is_some() {
            stage.applied.push(value);
            continue;
        }
        let directions: Directions = serde_json::from_value(value)?;
        let ends_stage = directions.delete.is_empty();
        stage.take(directions)?;
        if ends_stage {
            stages.push(std::mem::take(&mut stage));
        }
    }
    ensure!(stage.applied.is_empty() && stage.deleted.is_empty(), "the last change is followed by no expectation");
    let name = file.strip_prefix(folder())?.with_extension("");
    Ok(Scenario { name: name.display().to_string(), head, stages })
}

impl Stage {
    fn take(&mut self, directions: Directions) -> Result<()> {
        let Directions { expect, hold, held, refuse, delete } = directions;
        for (flows, verdict) in expect {
            self.expected.push((flows.parse()?, verdict.parse()?));
        }
        self.held = hold.iter().map(|flows| flows.parse()).collect::<Result<_>>()?;
        for (flows, fate) in held {
            self.fates.push((flows.parse()?, fate));
        }
        self.refused = refuse;
        let ids = delete.iter().map(|id| id.parse::<ObjectId>().map_err(anyhow::Error::msg));
        self.deleted.extend(ids.collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    pub fn manifests(&self) -> Result<Manifests> {
        manifests(&self.applied)
    }
}

/// Objects as a file of them would be read.
pub fn manifests(objects: &[Value]) -> Result<Manifests> {
    let file = tempfile::Builder::new().prefix("case").suffix(".json").tempfile()?;
    let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
    std::fs::write(file.path(), text.join("\n"))?;
    Ok(Manifests::read(&[file.path().to_owned()])?)
}

impl Scenario {
    /// The configuration as a file; `None` for the defaults.
    pub fn config(&self) -> Result<Option<NamedTempFile>> {
        if self.head.config.is_null() {
            return Ok(None);
        }
        let file = NamedTempFile::new()?;
        std::fs::write(file.path(), self.head.config.to_string())?;
        Ok(Some(file))
    }

    /// The namespaces and cluster-wide objects that it speaks of.
    pub fn places(&self) -> Result<BTreeSet<String>> {
        let mut places = BTreeSet::new();
        for stage in &self.stages {
            let manifests = stage.manifests()?;
            places.extend(manifests.iter().map(|it| {
                let ObjectId { kind, namespace, name } = &it.id;
                let of_namespace = if kind.name() == "Namespace" { name } else { namespace };
                if of_namespace.is_empty() { format!("{kind}/{name}") } else { of_namespace.clone() }
            }));
        }
        Ok(places)
    }
}
