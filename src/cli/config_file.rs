//! The option that names the configuration file.

use std::path::PathBuf;

use super::terminal::output::Failure;
use crate::config::{self, AccountConfig, Config, ConfigError, Environment, SecretsNeeded};

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
        self.read_in(&config::environment, secrets)
    }

    /// The same in an environment that the command watches.
    pub(super) fn read_in(
        &self,
        environment: Environment<'_>,
        secrets: SecretsNeeded,
    ) -> Result<Config, ConfigError> {
        config::load(&self.path(), environment, secrets)
    }

    pub(super) fn path(&self) -> PathBuf {
        config::path(self.config.clone())
    }
}

/// The account of this name, or an error that lists them.
pub(super) fn account_named<'a>(config: &'a Config, name: &str) -> Result<&'a AccountConfig, Failure> {
    config.accounts.iter().find(|account| *account.name == *name).ok_or_else(|| {
        let names: Vec<&str> = config.accounts.iter().map(|account| &*account.name).collect();
        Failure::Usage(format!("there is no account `{name}`; there are: {}", names.join(", ")))
    })
}
