//! Arbitrary text as manifests: whatever it is, it is a world or a list of errors. A world is compiled, asked about and
//! linted, too.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use agent::ingest::load;
use libfuzzer_sys::fuzz_target;
use policy::ask::{Engine, MatrixQuery};
use policy::model::Config;
use tempfile::TempDir;

/// In memory, so that a run is not a write to a disk.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new_in("/dev/shm").expect("a folder in memory"));

/// A world of more pods takes longer to ask than to fuzz.
const PODS: usize = 12;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = write(FOLDER.path(), if text.starts_with('{') { "world.json" } else { "world.yaml" }, text);
    let Ok(loaded) = load(&[file]) else { return };
    if loaded.world.pods.len() > PODS {
        return;
    }
    let config = Config::default();
    let Ok(engine) = Engine::new(&loaded.world, &config) else { return };
    let matrix = engine.matrix(&MatrixQuery::default()).expect("no external address was asked for");
    let _verdicts = matrix.records().count();
    let _findings = engine.lint(&config);
});

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file in memory");
    path
}
