//! Manifests of which some may be refused: what is left of the world without them, and what is wrong with them.

use std::path::PathBuf;

use super::{Assigned, IngestError, IngestErrors, Loaded, Manifests};

/// What is left of a world, and why the rest is not in it.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub loaded: Loaded,
    /// Each names its object.
    pub refused: Vec<IngestError>,
}

/// Reads files like [`super::load`], and leaves out the objects that are refused.
///
/// # Errors
/// What is wrong with a file, or with a document that is no object.
pub fn survey(paths: &[PathBuf]) -> Result<Survey, IngestErrors> {
    let mut errors = Vec::new();
    let mut manifests = Manifests::collect(paths, &mut errors);
    let (mut refused, broken): (Vec<_>, Vec<_>) = errors.into_iter().partition(|error| error.object.is_some());
    if !broken.is_empty() {
        return Err(IngestErrors(broken));
    }
    loop {
        let IngestErrors(errors) = match manifests.world(&Assigned::new()) {
            Ok(loaded) => return Ok(Survey { loaded, refused }),
            Err(errors) => errors,
        };
        let is_refused = |id: &super::ObjectId| errors.iter().any(|error| error.object == Some(id.to_string()));
        let objects: Vec<_> = manifests.iter().map(|manifest| manifest.id.clone()).filter(is_refused).collect();
        if objects.is_empty() {
            return Err(IngestErrors(errors));
        }
        for id in &objects {
            manifests.remove(id);
        }
        refused.extend(errors);
    }
}
