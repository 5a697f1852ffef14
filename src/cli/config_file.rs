//! The option that names the configuration file.

use std::path::PathBuf;

use super::output::Failure;
use crate::config::{self, Config, SecretsNeeded};

#[derive(Debug, clap::Args)]
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
        let path = config::path(self.config.clone());
        config::load(&path, &config::environment, secrets).map_err(|error| Failure::Usage(error.to_string()))
    }
}
