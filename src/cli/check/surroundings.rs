//! Loads the configuration, and looks at what belongs to it: the environment, the secrets, the modes of files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::check::{ConfigurationFacts, SecretFile, SecretsState};
use crate::cli::config_file::ConfigFile;
use crate::cli::terminal::output::Failure;
use crate::config::{self, BrokerUrl, Config, SecretSource, SecretsNeeded};

/// The variable that the logging library takes.
const LOG_VARIABLE: &str = "RUST_LOG";
const BROKER_URL: &str = "FRESHET_BROKER_URL";

/// Fails where the file is wrong. Secrets that are not there are facts, too.
pub(super) fn load(file: &ConfigFile, offline: bool) -> Result<(Config, ConfigurationFacts), Failure> {
    let asked = RefCell::new(BTreeMap::from([(
        LOG_VARIABLE.to_owned(),
        config::environment(LOG_VARIABLE).is_some(),
    )]));
    let environment = |name: &str| {
        let value = config::environment(name);
        asked.borrow_mut().insert(name.to_owned(), value.is_some());
        value
    };
    let config =
        file.read_in(&environment, SecretsNeeded::None).map_err(|error| Failure::Usage(error.coloured()))?;
    let asked = asked.into_inner();
    let set_variables: Vec<String> =
        asked.iter().filter(|(_, set)| **set).map(|(name, _)| name.clone()).collect();
    let path = file.path();
    let secret_files = secret_files(&config, &path, set_variables.iter().any(|name| name == BROKER_URL));
    let secrets = if offline { SecretsState::NotRead } else { read_secrets(&config) };
    let facts = ConfigurationFacts {
        path,
        known_variables: asked.into_keys().collect(),
        set_variables,
        own_variables: config::variables(),
        secrets,
        secret_files,
    };
    Ok((config, facts))
}

fn sources(config: &Config) -> Vec<(String, &SecretSource)> {
    let mut sources = Vec::new();
    if let BrokerUrl::Secret(source) = &config.broker.url {
        sources.push(("broker.url".to_owned(), source));
    }
    if let Some(client) = &config.broker.client {
        sources.push(("broker.client_key".to_owned(), &client.key));
    }
    if let Some(source) = &config.http.admin_token {
        sources.push(("http.admin_token".to_owned(), source));
    }
    for account in &config.accounts {
        sources.push((format!("account {}: api_key", account.name), &account.api_key));
        if let Some(source) = &account.app_token {
            sources.push((format!("account {}: app_token", account.name), source));
        }
    }
    sources
}

fn read_secrets(config: &Config) -> SecretsState {
    let environment = &config::environment;
    let mut missing = Vec::new();
    let mut of = |key: String, error: Option<String>| missing.extend(error.map(|error| (key, error)));
    let url = config.broker.addresses(environment).err();
    of("broker.url".to_owned(), url.map(|error| error.to_string()));
    if let Some(client) = &config.broker.client {
        let key = client.key.read(environment).err();
        of("broker.client_key".to_owned(), key.map(|error| error.to_string()));
    }
    let token = config.http.read_admin_token(environment).err();
    of("http.admin_token".to_owned(), token.map(|error| error.to_string()));
    for account in &config.accounts {
        if let Err(error) = account.read_secrets(environment) {
            of(format!("account {}: {}", account.name, error.key), Some(error.error.to_string()));
        }
    }
    let found = sources(config).len().saturating_sub(missing.len());
    // Not secrets, and of as little use to an account if they cannot be read.
    for account in &config.accounts {
        let unreadable = account.authorities().err();
        missing.extend(
            unreadable.map(|error| (format!("account {}: ca_file", account.name), error.to_string())),
        );
    }
    SecretsState::Read { found: found as u64, missing }
}

/// The files that hold secrets, each once. Those that are not there are told elsewhere.
fn secret_files(config: &Config, path: &Path, url_is_overridden: bool) -> Vec<SecretFile> {
    let mut files: Vec<(String, &Path)> = Vec::new();
    if let BrokerUrl::Given(addresses) = &config.broker.url
        && addresses.hold_password()
        && !url_is_overridden
    {
        files.push(("broker.url with its password".to_owned(), path));
    }
    files.extend(sources(config).into_iter().filter_map(|(key, source)| match source {
        SecretSource::File(path) => Some((key, path.as_path())),
        SecretSource::Env(_) => None,
    }));
    let mut found: Vec<SecretFile> = Vec::new();
    for (key, path) in files {
        if found.iter().any(|file| file.path == path) {
            continue;
        }
        if let Ok(metadata) = std::fs::metadata(path) {
            found.push(SecretFile { key, path: path.to_owned(), mode: metadata.permissions().mode() });
        }
    }
    found
}
