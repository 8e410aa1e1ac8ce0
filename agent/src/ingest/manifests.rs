//! Objects as they were written, by kind, namespace and name: what a lab keeps, and adds to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::Kind;
use super::source::{self, Document};
use super::{IngestError, IngestErrors, Place, check};

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    pub kind: Kind,
    /// Empty for what has no namespace.
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        if namespace.is_empty() { write!(f, "{kind} {name}") } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

impl ObjectId {
    /// `kind/NAMESPACE/NAME`, or `kind/NAME` for what has no namespace.
    #[must_use]
    pub fn path(&self) -> String {
        let Self { kind, namespace, name } = self;
        let kind = kind.name().to_lowercase();
        if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") }
    }
}

/// `KIND/NAMESPACE/NAME`, or `KIND/NAME` for what has no namespace; the kind in any case.
impl FromStr for ObjectId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let kind = parts.next().unwrap_or_default();
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(kind))
            .ok_or_else(|| format!("the kind `{kind}` is not known, write it like networkpolicy/NAMESPACE/NAME"))?;
        let (namespace, name) = match (kind.is_namespaced(), parts.next(), parts.next(), parts.next()) {
            (true, Some(namespace), Some(name), None) => (namespace, name),
            (false, Some(name), None, None) => ("", name),
            (true, ..) => return Err(format!("write it as {}/NAMESPACE/NAME", kind.name().to_lowercase())),
            (false, ..) => return Err(format!("write it as {}/NAME", kind.name().to_lowercase())),
        };
        Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// An object as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub id: ObjectId,
    pub place: Place,
    pub value: Value,
}

/// A set of objects. As JSON a list of [`Manifest`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Manifest>", into = "Vec<Manifest>")]
pub struct Manifests {
    objects: BTreeMap<ObjectId, Manifest>,
    other_kinds: usize,
}

impl From<Vec<Manifest>> for Manifests {
    fn from(manifests: Vec<Manifest>) -> Self {
        let objects = manifests.into_iter().map(|manifest| (manifest.id.clone(), manifest)).collect();
        Self { objects, other_kinds: 0 }
    }
}

impl From<Manifests> for Vec<Manifest> {
    fn from(manifests: Manifests) -> Self {
        manifests.objects.into_values().collect()
    }
}

impl Manifests {
    /// Reads files, folders and standard input (`-`). Whether the objects are valid is found out by
    /// [`Manifests::world`].
    ///
    /// # Errors
    /// All that cannot be read, does not parse, has no name or is there twice.
    pub fn read(paths: &[PathBuf]) -> Result<Self, IngestErrors> {
        let mut errors = Vec::new();
        let manifests = Self::collect(paths, &mut errors);
        if errors.is_empty() { Ok(manifests) } else { Err(IngestErrors(errors)) }
    }

    pub(super) fn collect(paths: &[PathBuf], errors: &mut Vec<IngestError>) -> Self {
        let mut manifests = Self::default();
        for document in source::read(paths, errors) {
            if let Err(error) = manifests.insert(document) {
                errors.push(error);
            }
        }
        manifests
    }

    fn insert(&mut self, document: Document) -> Result<(), IngestError> {
        let Document { place, value } = document;
        let Some(id) = identify(&place, &value)? else {
            self.other_kinds += 1;
            return Ok(());
        };
        match self.objects.entry(id) {
            Entry::Vacant(entry) => {
                let id = entry.key().clone();
                entry.insert(Manifest { id, place, value });
                Ok(())
            }
            Entry::Occupied(entry) => {
                let problem = format!("is also in {}, keep one of them", entry.get().place);
                Err(IngestError::new(place, problem).about(entry.key()))
            }
        }
    }

    /// Adds the objects of `newer`; an object of the same kind, namespace and name takes the place of the old one.
    pub fn merge(&mut self, newer: Self) {
        self.objects.extend(newer.objects);
        self.other_kinds += newer.other_kinds;
    }

    /// Takes an object out. False where there is none of that name.
    pub fn remove(&mut self, id: &ObjectId) -> bool {
        self.objects.remove(id).is_some()
    }

    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.objects.contains_key(id)
    }

    /// In the order of kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.objects.values()
    }

    /// How many documents were of kinds that are not read.
    #[must_use]
    pub const fn other_kinds(&self) -> usize {
        self.other_kinds
    }
}

/// What a document's object is called. `Ok(None)` for kinds that are not read.
fn identify(place: &Place, value: &Value) -> Result<Option<ObjectId>, IngestError> {
    let refuse = |problem: String| IngestError::new(place, problem);
    let text = |field: &str| value[field].as_str().filter(|text| !text.is_empty());
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        return Err(refuse("is no Kubernetes object: apiVersion and kind are required".to_owned()));
    };
    let Some(kind) = Kind::of(api_version, kind).map_err(refuse)? else {
        return Ok(None);
    };
    let metadata = &value["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let namespace = match (kind.is_namespaced(), metadata["namespace"].as_str().unwrap_or_default()) {
        (true, "") => "default",
        (_, namespace) => namespace,
    };
    let id = ObjectId { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    check_name(&id).map_err(|(field, problem)| {
        let about = if name.is_empty() { kind.to_string() } else { id.to_string() };
        refuse(problem).about(about).at(field)
    })?;
    Ok(Some(id))
}

fn check_name(id: &ObjectId) -> Result<(), (&'static str, String)> {
    let ObjectId { kind, namespace, name } = id;
    if name.is_empty() {
        return Err(("metadata.name", "is required: a file has nobody to generate one".to_owned()));
    }
    let syntax = match kind {
        Kind::Namespace => check::dns_label(name),
        Kind::Service => check::service_name(name),
        _ => check::dns_subdomain(name),
    };
    syntax.map_err(|problem| ("metadata.name", problem))?;
    match (kind.is_namespaced(), namespace.as_str()) {
        (true, namespace) => check::dns_label(namespace).map_err(|problem| ("metadata.namespace", problem)),
        (false, "") => Ok(()),
        (false, _) => Err(("metadata.namespace", format!("a {kind} has no namespace, leave it out"))),
    }
}
