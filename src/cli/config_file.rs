//! The option that names the configuration file.

use std::path::PathBuf;

use super::output::Failure;
use crate::config::{self, Config, ConfigError, SecretsNeeded};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConfigFile {
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file; without it $FRESHET_CONFIG, else ./freshet.toml"
    )]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Fails if a secret that is needed is not there. The command reads it where it uses it.
    pub(super) fn load(&self, secrets: SecretsNeeded) -> Result<Config, Failure> {
        self.read(secrets).map_err(|error| Failure::Usage(error.coloured()))
    }

    pub(super) fn read(&self, secrets: SecretsNeeded) -> Result<Config, ConfigError> {
        config::load(&config::path(self.config.clone()), &config::environment, secrets)
    }
}
