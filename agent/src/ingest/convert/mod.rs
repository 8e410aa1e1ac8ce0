//! One object as it was written to one of the model: every field that policy uses is checked here, once.

mod cluster;
mod network_policy;
mod pod;
mod selector;
mod service;

use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::model::Labels;
use serde::de::DeserializeOwned;

use super::manifests::Manifest;
use super::{IngestError, check};

pub(super) use cluster::{implied_namespace, namespace, node, tenant};
pub(super) use network_policy::network_policy;
pub(super) use pod::{ended, pod, workload};
pub(super) use service::service;

/// What to do about fields that the kind does not have.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unknown {
    /// The object restricts traffic: a misspelt field may be the one that matters.
    Refuse,
    Warn,
    /// Most of the object is somebody else's and not read.
    Ignore,
}

/// An object, and what is wrong with it: all of it, in one go.
pub(super) struct Report<'a> {
    manifest: &'a Manifest,
    errors: &'a mut Vec<IngestError>,
    warnings: &'a mut Vec<IngestError>,
}

impl<'a> Report<'a> {
    pub fn new(manifest: &'a Manifest, errors: &'a mut Vec<IngestError>, warnings: &'a mut Vec<IngestError>) -> Self {
        Self { manifest, errors, warnings }
    }

    fn problem(&self, field: impl Display, problem: impl Into<String>) -> IngestError {
        IngestError {
            object: Some(self.manifest.id.to_string()),
            field: Some(field.to_string()).filter(|field| !field.is_empty() && field != "."),
            ..IngestError::new(&self.manifest.place, problem)
        }
    }

    pub fn error(&mut self, field: impl Display, problem: impl Into<String>) {
        let error = self.problem(field, problem);
        self.errors.push(error);
    }

    pub fn warn(&mut self, field: impl Display, problem: impl Into<String>) {
        let warning = self.problem(field, problem);
        self.warnings.push(warning);
    }

    /// The value, or its problem noted.
    pub fn accept<T>(&mut self, field: impl Display, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.error(field, problem)).ok()
    }

    /// The object as its type has it.
    pub fn parse<T: DeserializeOwned>(&mut self, unknown: Unknown) -> Option<T> {
        let mut track = serde_path_to_error::Track::new();
        let mut strangers = Vec::new();
        let value = serde_path_to_error::Deserializer::new(&self.manifest.value, &mut track);
        let parsed = serde_ignored::deserialize(value, |path| strangers.push(path_text(&path)));
        for field in strangers {
            match unknown {
                // What a server reports, in versions whose type has it: it says nothing about what is wanted.
                _ if field == "status" => {}
                Unknown::Refuse => self.error(field, "is not known, correct its name or leave it out"),
                Unknown::Warn => self.warn(field, "is not known and was not read"),
                Unknown::Ignore => {}
            }
        }
        match parsed {
            Ok(object) => Some(object),
            Err(error) => {
                self.error(track.path(), format!("{error}, write what the API asks for"));
                None
            }
        }
    }

    /// Labels (or annotations, whose values are free) of a `metadata` at `field`.
    pub fn labels(&mut self, field: &str, metadata: &ObjectMeta) -> Labels {
        let labels = metadata.labels.clone().unwrap_or_default();
        for (key, value) in &labels {
            self.accept(format_args!("{field}.labels"), check::qualified_name(key));
            self.accept(format_args!("{field}.labels[{key}]"), check::label_value(value));
        }
        labels
    }

    pub fn annotations(&mut self, field: &str, metadata: &ObjectMeta) -> Labels {
        let annotations = metadata.annotations.clone().unwrap_or_default();
        for key in annotations.keys() {
            // The prefix and name of an annotation's key are compared in lower case.
            self.accept(format_args!("{field}.annotations"), check::qualified_name(&key.to_lowercase()));
        }
        annotations
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
