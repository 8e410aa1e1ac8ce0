//! What is wrong with a file: which file, document, object and field, and what to write instead.

use std::fmt::{self, Display};

use policy::model::printable;
use serde::{Deserialize, Serialize};

/// Where an object was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub document: usize,
    /// The place in a `kind: List`, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}", self.file, self.document)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

/// One problem with one object or file, or something odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestError {
    /// The file, or the place in it.
    pub place: String,
    /// `KIND NAMESPACE/NAME`, where the document got that far.
    pub object: Option<String>,
    /// Path of the field, as in `spec.ingress[0].ports[1].port`.
    pub field: Option<String>,
    /// What is wrong and what to do about it.
    pub problem: String,
}

impl IngestError {
    pub(super) fn new(place: impl Display, problem: impl Into<String>) -> Self {
        Self { place: place.to_string(), object: None, field: None, problem: problem.into() }
    }
}

impl Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{}: ", printable(part))?;
        }
        f.write_str(&printable(&self.problem))
    }
}

/// Every problem that was found, in the order of files and documents; never empty where it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestErrors(pub Vec<IngestError>);

impl Display for IngestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for IngestErrors {}
