//! What is wrong with a file: which file, document, object and field, and what to write instead.

use std::fmt::{self, Display};

use policy::model::told;
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

/// Bytes of what is told of one problem, in each of its fields. They quote what is written, which may be anything.
const LONGEST: usize = 1024;

/// One problem with one object or file, or something odd about it. Each part is one line that can be shown.
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

fn one_line(text: &str) -> String {
    told(text, LONGEST).into_owned()
}

impl IngestError {
    pub(crate) fn new(place: impl Display, problem: impl Into<String>) -> Self {
        let (place, problem) = (one_line(&place.to_string()), one_line(&problem.into()));
        Self { place, object: None, field: None, problem }
    }

    /// What it is about: `KIND NAMESPACE/NAME`.
    pub(crate) fn about(self, object: impl Display) -> Self {
        Self { object: Some(one_line(&object.to_string())), ..self }
    }

    /// At which field; none where that is the whole object.
    pub(crate) fn at(self, field: impl Display) -> Self {
        let field = field.to_string();
        Self { field: (!matches!(field.as_str(), "" | ".")).then(|| one_line(&field)), ..self }
    }
}

impl Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.problem)
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
