//! One object as it was written to one of the model: every field that policy uses is checked here, once.

mod cluster;
mod cluster_network_policy;
mod network_policy;
mod pod;
mod selector;
mod service;

use std::collections::BTreeMap;
use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::model::{Labels, told};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::manifests::Manifest;
use super::{IngestError, check};

pub(super) use cluster::{implied_namespace, namespace, node, tenant};
pub(super) use cluster_network_policy::cluster_network_policy;
pub(super) use network_policy::network_policy;
pub(super) use pod::{pod, workload};
pub(super) use service::{DraftService, endpoint_slice, live_endpoint_slice, live_service, service, service_cidr};

/// Bytes of keys and values (apimachinery `pkg/api/validation/objectmeta.go`).
const MOST_ANNOTATIONS: usize = 256 * 1024;

/// What to do about fields that the kind does not have.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unknown {
    /// The object restricts traffic: a misspelt field may be the one that matters.
    Refuse,
    Warn,
    /// Most of the object is somebody else's and not read.
    Ignore,
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file, which somebody can correct.
    File,
    /// An API server, which may be newer than this program.
    Cluster,
}

/// An object, and what is wrong with it: all of it, in one go.
pub(super) struct Report<'a> {
    manifest: &'a Manifest,
    source: Source,
    errors: &'a mut Vec<IngestError>,
    warnings: &'a mut Vec<IngestError>,
    /// How many errors there were so far: of an object of a cluster, most are only counted.
    found: usize,
}

/// Errors of an object of a cluster that are kept: its owner corrects one after the other, and a megabyte of mistakes
/// is not to be a gigabyte of sentences.
pub(super) const MOST_ERRORS: usize = 5;
/// Bytes of a field's path or of a problem of an object of a cluster. They quote what is written.
const LONGEST: usize = 256;

impl<'a> Report<'a> {
    pub fn new(
        manifest: &'a Manifest,
        source: Source,
        errors: &'a mut Vec<IngestError>,
        warnings: &'a mut Vec<IngestError>,
    ) -> Self {
        Self { manifest, source, errors, warnings, found: 0 }
    }

    fn problem(&self, field: impl Display, problem: impl Into<String>) -> IngestError {
        IngestError::new(&self.manifest.place, problem).about(&self.manifest.id).at(field)
    }

    pub fn error(&mut self, field: impl Display, problem: impl Into<String>) {
        self.found += 1;
        match self.source {
            Source::File => {
                let error = self.problem(field, problem);
                self.errors.push(error);
            }
            Source::Cluster if self.found <= MOST_ERRORS => {
                let error = self.problem(told(&field.to_string(), LONGEST), told(&problem.into(), LONGEST));
                self.errors.push(error);
            }
            Source::Cluster => {}
        }
    }

    /// Nobody reads the warnings about an object of a cluster.
    pub fn warn(&mut self, field: impl Display, problem: impl Into<String>) {
        if self.source == Source::File {
            let warning = self.problem(field, problem);
            self.warnings.push(warning);
        }
    }

    /// How many errors there were.
    pub const fn found(&self) -> usize {
        self.found
    }

    /// What the object is called.
    pub fn name(&self) -> &'a str {
        &self.manifest.id.name
    }

    /// True for a pod that has ended: it is in no record and matches nothing.
    pub fn is_ended(&self) -> bool {
        matches!(self.manifest.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
    }

    /// The value, or its problem noted.
    pub fn accept<T>(&mut self, field: impl Display, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.error(field, problem)).ok()
    }

    /// What `read` reads, unless it finds something wrong with it.
    pub fn whole<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.found;
        let read = read(self)?;
        (self.found == before).then_some(read)
    }

    /// The object as its type has it.
    pub fn parse<T: DeserializeOwned>(&mut self, unknown: Unknown) -> Option<T> {
        self.part("", &self.manifest.value, unknown)
    }

    /// What stands at `field` as its type has it: the parts of an object are read one by one where what is wrong with
    /// one is not to hide what is wrong with another.
    pub fn part<T: DeserializeOwned>(&mut self, field: &str, value: &Value, unknown: Unknown) -> Option<T> {
        let mut track = serde_path_to_error::Track::new();
        let mut strangers = Vec::new();
        let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
        let parsed = serde_ignored::deserialize(tracked, |path| strangers.push(join(field, &path_text(&path))));
        for stranger in strangers {
            self.unknown(&stranger, unknown);
        }
        match parsed {
            Ok(part) => Some(part),
            Err(error) => {
                self.error(join(field, &track.path().to_string()), format!("{error}, write what the API asks for"));
                None
            }
        }
    }

    /// The same, of what may be left out.
    pub fn optional<T: DeserializeOwned + Default>(
        &mut self,
        field: &str,
        value: &Value,
        unknown: Unknown,
    ) -> Option<T> {
        if value.is_null() { Some(T::default()) } else { self.part(field, value, unknown) }
    }

    /// The members of the mapping at `field`, which may be left out; those that are not in `known` are noted. None
    /// where it is no mapping.
    pub fn members(&mut self, field: &str, value: &Value, known: &[&str]) -> Option<()> {
        match value {
            Value::Null => {}
            Value::Object(members) => {
                for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
                    self.unknown(&join(field, name), Unknown::Refuse);
                }
            }
            _ => drop(self.part::<Map<String, Value>>(field, value, Unknown::Refuse)?),
        }
        Some(())
    }

    fn unknown(&mut self, field: &str, unknown: Unknown) {
        // Of a newer server: it says nothing about what is wanted.
        let later = self.source == Source::Cluster && (unknown == Unknown::Warn || field.starts_with("metadata."));
        match unknown {
            // What a server reports, in versions whose type has it.
            _ if field == "status" || later => {}
            Unknown::Refuse => self.error(field, "is not known, correct its name or leave it out"),
            Unknown::Warn => self.warn(field, "is not known and was not read"),
            Unknown::Ignore => {}
        }
    }

    /// The name, labels and annotations of a kind whose own parts are read one by one.
    pub fn metadata(&mut self) {
        if let Some(metadata) = self.optional("metadata", &self.manifest.value["metadata"], Unknown::Refuse) {
            self.labels("metadata", &metadata);
            self.annotations("metadata", &metadata);
        }
    }

    /// Labels (or annotations, whose values are free) of a `metadata` at `field`.
    pub fn labels(&mut self, field: &str, metadata: &ObjectMeta) -> Labels {
        let labels = compact(metadata.labels.as_ref());
        for (key, value) in &labels {
            self.accept(format_args!("{field}.labels"), check::qualified_name(key));
            self.accept(format_args!("{field}.labels[{key}]"), check::label_value(value));
        }
        labels
    }

    pub fn annotations(&mut self, field: &str, metadata: &ObjectMeta) -> Labels {
        let annotations = compact(metadata.annotations.as_ref());
        for key in annotations.keys() {
            // The prefix and name of an annotation's key are compared in lower case.
            self.accept(format_args!("{field}.annotations"), check::qualified_name(&key.to_lowercase()));
        }
        let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MOST_ANNOTATIONS {
            let problem = format!("hold {size} bytes, {MOST_ANNOTATIONS} are possible");
            self.error(format_args!("{field}.annotations"), problem);
        }
        annotations
    }
}

/// Labels or annotations as they are kept.
fn compact(written: Option<&BTreeMap<String, String>>) -> Labels {
    written.into_iter().flatten().map(|(key, value)| (key.into(), value.into())).collect()
}

/// A path below a field.
fn join(field: &str, path: &str) -> String {
    match (field, path) {
        (field, "" | ".") => field.to_owned(),
        ("", path) => path.to_owned(),
        (field, path) if path.starts_with('[') => format!("{field}{path}"),
        (field, path) => format!("{field}.{path}"),
    }
}

/// `spec.ingress[0].from`, as the API server writes paths.
fn path_text(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", path_text(parent)),
        Path::Map { parent, key } => match path_text(parent).as_str() {
            "" => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => path_text(parent),
    }
}
