//! Another version of `bulkhead`, whose programs and maps know nothing of this one's.

use std::fs;

use common::abi::VERSION;

use crate::copy::{TreeCopy, workspace};

/// Builds this tree with another number as the version of its layouts, and returns the path of the binary. `ours` is this
/// version's.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn other_abi(ours: &str) -> String {
    let copy = TreeCopy::new("other-abi").expect("a copy of the tree");
    let (number, theirs) = (format!("VERSION: u32 = {VERSION};"), format!("VERSION: u32 = {};", VERSION + 1));
    let (file, content) = copy.find("common/src/abi/mod.rs", &number).expect("the version");
    fs::write(file, content.replace(&number, &theirs)).expect("the version");
    // A node sees the work folder at the same path. Cargo puts what it builds in the place of ours.
    let folder = workspace().join("target/other-abi");
    let (kept, other) = (folder.join("ours"), folder.join("other"));
    fs::copy(ours, &kept).expect("our binary kept");
    let mut build = copy.cargo(&["build", "--locked", "--quiet", "--package", "tests", "--bin", "tested-bulkhead"]);
    build.args((!cfg!(debug_assertions)).then_some("--release"));
    let built = build.status().expect("cargo").success();
    let moved = fs::rename(ours, &other).and_then(|()| fs::rename(&kept, ours));
    assert!(built, "another version does not build");
    moved.expect("both binaries where they belong");
    other.to_str().expect("UTF-8").to_owned()
}
