//! A world from manifests in the text of a test.

use std::io::Write as _;

use policy::model::World;

/// # Panics
/// Where the manifests are refused, with the errors.
#[must_use]
pub fn world(manifests: &str) -> World {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    file.write_all(manifests.as_bytes()).expect("to write it");
    agent::ingest::load(&[file.path().to_path_buf()]).unwrap_or_else(|errors| panic!("{errors}")).world
}
