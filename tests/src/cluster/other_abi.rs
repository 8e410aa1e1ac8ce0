//! Another version of `bulkhead`, whose programs and maps know nothing of this one's.

use std::fs;

use common::abi::VERSION;

use crate::copy::TreeCopy;

/// Builds this tree with another number as the version of its layouts, and returns the path of the binary.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn other_abi() -> String {
    let copy = TreeCopy::new("other-abi").expect("a copy of the tree");
    let (number, theirs) = (format!("VERSION: u32 = {VERSION};"), format!("VERSION: u32 = {};", VERSION + 1));
    let (file, content) = copy.find("common/src/abi/mod.rs", &number).expect("the version");
    fs::write(file, content.replace(&number, &theirs)).expect("the version");
    let mut build = copy.cargo(&["build", "--locked", "--quiet", "--package", "tests", "--bin", "tested-bulkhead"]);
    let (profile, folder) = if cfg!(debug_assertions) { ("dev", "debug") } else { ("release", "release") };
    build.args(["--profile", profile]);
    assert!(build.status().expect("cargo").success(), "another version does not build");
    // A node sees the work folder at the same path.
    let binary = copy.target().join(folder).join("tested-bulkhead");
    binary.to_str().expect("UTF-8").to_owned()
}
