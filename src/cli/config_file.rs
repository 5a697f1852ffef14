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
    pub(super) fn load(&self) -> Result<config::Config, Failure> {
        let path = config::path(self.config.clone());
        config::load(&path, &config::environment).map_err(|error| Failure::Usage(error.to_string()))
    }
}
