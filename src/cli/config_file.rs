//! The option that names the configuration file.

use std::path::PathBuf;

use super::output::Failure;
use crate::config;

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
    /// For commands that need no secret: those of the accounts are not looked up.
    pub(super) fn load_without_secrets(&self) -> Result<config::Config, Failure> {
        let path = config::path(self.config.clone());
        let unused = |name: &str| (!name.starts_with("FRESHET_")).then(|| "unused".to_owned());
        let environment = |name: &str| config::environment(name).or_else(|| unused(name));
        config::load(&path, &environment).map_err(|error| Failure::Usage(error.to_string()))
    }

    pub(super) fn load(&self) -> Result<config::Config, Failure> {
        let path = config::path(self.config.clone());
        config::load(&path, &config::environment).map_err(|error| Failure::Usage(error.to_string()))
    }
}
