//! The flags for configuration, the same at every command that judges.

use std::path::PathBuf;

use policy::model::Isolation;

use crate::config::{self, Settings};

/// `--config` and `--tenancy`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsArgs {
    /// Configuration file (YAML), the one that the agent on a node mounts
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How tenants are held apart: off, audit, baseline or strict (overrides the file's tenancy.mode)
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub tenancy: Option<Isolation>,
}

impl SettingsArgs {
    /// The configuration file, or the defaults, with the flags applied.
    ///
    /// # Errors
    /// The file cannot be read, or is not a valid configuration.
    pub fn load(&self) -> anyhow::Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => config::read(path)?,
            None => Settings::default(),
        };
        if let Some(mode) = self.tenancy {
            settings.policy.mode = mode;
        }
        Ok(settings)
    }
}

fn parse_mode(text: &str) -> Result<Isolation, String> {
    Isolation::named(text).ok_or_else(|| "use one of off, audit, baseline, strict".to_owned())
}
