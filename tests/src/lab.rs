//! Labs for tests: each with a name of its own, and gone when its test ends.

use std::path::PathBuf;
use std::str::FromStr;

use agent::ingest::Manifests;
use agent::lab::{Cni, Lab, LabName, UpOptions};

/// A lab that is taken down when the test ends, however it ends.
#[derive(Debug)]
pub struct Tried(pub LabName);

impl Tried {
    /// `name` is unique among the tests of one process.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = LabName::from_str(&format!("test-{name}-{}", std::process::id())).expect("a lab's name");
        Self(name)
    }

    /// No configuration, nothing outside the cluster.
    #[must_use]
    pub const fn options(cni: Cni) -> UpOptions {
        UpOptions { cni, config: None, tenancy: None, external: Vec::new() }
    }

    /// Options of a lab with this configuration. The folder holds it until the lab is up.
    ///
    /// # Panics
    /// Where no file can be written.
    #[must_use]
    pub fn configured(cni: Cni, config: &str) -> (tempfile::TempDir, UpOptions) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).expect("a file");
        (folder, UpOptions { config: Some(file), ..Self::options(cni) })
    }

    #[must_use]
    pub fn up(&self, manifests: Manifests, options: &UpOptions) -> Lab {
        Lab::up(&self.0, manifests, options).expect("root, and a kernel that has what the lab needs")
    }

    /// What is left of it on the machine.
    #[must_use]
    pub fn remains(&self) -> Vec<PathBuf> {
        let mut remains = vec![self.0.folder(), self.0.lock_file(), self.0.pins().expect("pins").root().to_path_buf()];
        let namespaces = self.0.namespaces().expect("the folder of namespaces");
        remains.extend(namespaces.into_iter().map(|name| PathBuf::from("/run/netns").join(name)));
        remains.retain(|path| path.exists());
        remains
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(&self.0) {
            eprintln!("{error:#}");
        }
    }
}

/// Objects as they are written in a file.
#[must_use]
pub fn manifests(yaml: &str) -> Manifests {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("world.yaml");
    std::fs::write(&file, yaml).expect("a file");
    Manifests::read(&[file]).expect("manifests")
}
