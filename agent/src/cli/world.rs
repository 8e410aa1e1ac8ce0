//! The flags that say which world a question is about.

use std::path::PathBuf;

use anyhow::{Context, bail};
use policy::ask::Engine;
use policy::model::World;

use super::SettingsArgs;
use crate::config::Settings;
use crate::ingest::{self, IngestError, Loaded};
use crate::terminal::say;
use crate::watch::{self, Access, Cluster, Rejected};

/// `-f`, or the cluster; `--config` and `--tenancy`.
#[derive(Clone, Debug, clap::Args)]
pub struct WorldArgs {
    /// Manifests: a file, a folder (read recursively for .yaml, .yml and .json) or -; may be repeated
    /// [default: the cluster of the kubeconfig]
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Kubeconfig of the cluster to ask about [default: KUBECONFIG, ~/.kube/config or the service account of the pod]
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    context: Option<String>,
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
    /// Reads the manifests, or the cluster, and the configuration; what was noticed on the way is told on standard
    /// error.
    ///
    /// # Errors
    /// Every problem of the files, or why the cluster cannot be asked.
    pub fn load(&self) -> anyhow::Result<Subject> {
        let settings = self.settings.load()?;
        let loaded = if self.files.is_empty() { self.live(&settings)? } else { ingest::load(&self.files)? };
        tell(&loaded);
        Ok(Subject { loaded, settings })
    }

    /// The world of the cluster; an object in it that is not understood is a warning.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn live(&self, settings: &Settings) -> anyhow::Result<Loaded> {
        let (world, rejected) = self.list(settings)?;
        Ok(Loaded { world, warnings: rejected.into_iter().map(warning).collect(), other_kinds: 0 })
    }

    /// Lists the cluster once.
    ///
    /// # Errors
    /// No cluster is configured, it cannot be reached, or it does not let the caller list something.
    pub fn list(&self, settings: &Settings) -> anyhow::Result<(World, Vec<Rejected>)> {
        let access = Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        crate::runtime::one_thread()?.block_on(async {
            let cluster = Cluster::new(&access).await.context("name manifests with -f, or a cluster")?;
            watch::list(&cluster, &settings.policy).await
        })
    }
}

fn warning(rejected: Rejected) -> IngestError {
    let Rejected { object, field, problem, effect, others, .. } = rejected;
    let others = if others > 0 { format!(" ({others} more of its namespace)") } else { String::new() };
    IngestError::new("cluster", format!("{problem}; {effect}{others}")).about(object).at(field)
}

impl Subject {
    /// # Errors
    /// The world has no such namespace.
    pub fn require_namespace(&self, name: &str) -> anyhow::Result<()> {
        if !self.loaded.world.namespaces.contains_key(name) {
            bail!("there is no namespace {name}, name one of those in the manifests or the cluster");
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
            say(&format!("warning: {finding}"));
        }
        for excess in engine.excesses() {
            say(&format!("warning: {excess}"));
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
        say(&format!("warning: {warning}"));
    }
    if loaded.other_kinds > 0 {
        say(&format!(
            "note: {} not read",
            counted(loaded.other_kinds, "object of another kind was", "objects of other kinds were")
        ));
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
