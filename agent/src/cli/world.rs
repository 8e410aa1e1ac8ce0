//! The flags that say which world a question is about.

use std::path::PathBuf;

use anyhow::bail;
use policy::ask::Engine;

use super::SettingsArgs;
use crate::config::Settings;
use crate::ingest::{self, Loaded};

/// `-f`, `--config` and `--tenancy`.
#[derive(Clone, Debug, clap::Args)]
pub struct WorldArgs {
    /// Manifests: a file, a folder (read recursively for .yaml, .yml and .json) or -; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// A world that has been read, and the configuration that it is judged under.
#[derive(Debug)]
pub struct Subject {
    pub loaded: Loaded,
    pub settings: Settings,
}

impl WorldArgs {
    /// Reads the manifests and the configuration; what was noticed on the way is told on standard error.
    ///
    /// # Errors
    /// Every problem of the files, or that there are none.
    pub fn load(&self) -> anyhow::Result<Subject> {
        self.require_files()?;
        let settings = self.settings.load()?;
        let loaded = ingest::load(&self.files)?;
        tell(&loaded);
        Ok(Subject { loaded, settings })
    }

    /// # Errors
    /// No manifests are named.
    pub fn require_files(&self) -> anyhow::Result<()> {
        if self.files.is_empty() {
            bail!("reading a cluster through kubeconfig comes with the node agent: name manifests with -f");
        }
        Ok(())
    }
}

impl Subject {
    /// # Errors
    /// The world has no such namespace.
    pub fn require_namespace(&self, name: &str) -> anyhow::Result<()> {
        if !self.loaded.world.namespaces.contains_key(name) {
            bail!("there is no namespace {name}, name one of those in the manifests");
        }
        Ok(())
    }

    /// Compiles the world; what is odd about its tenants is told on standard error.
    ///
    /// # Errors
    /// The world is larger than the compiler's numbers.
    pub fn engine(&self) -> anyhow::Result<Engine<'_>> {
        let engine = self.engine_quietly()?;
        for finding in engine.findings() {
            eprintln!("warning: {finding}");
        }
        for excess in engine.excesses() {
            eprintln!("warning: {excess}");
        }
        Ok(engine)
    }

    /// Compiles the world.
    ///
    /// # Errors
    /// The world is larger than the compiler's numbers.
    pub fn engine_quietly(&self) -> anyhow::Result<Engine<'_>> {
        Ok(Engine::new(&self.loaded.world, &self.settings.policy)?)
    }
}

/// Warnings, and one line for all that was not read.
pub fn tell(loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    if loaded.other_kinds > 0 {
        eprintln!(
            "note: {} not read",
            counted(loaded.other_kinds, "object of another kind was", "objects of other kinds were")
        );
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
