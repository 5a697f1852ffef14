//! Every setting, its default and its rules. Nothing else reads configuration files or the environment.
//!
//! All problems of a file are reported together, each with its key. The commands load it; every room is handed its part.

mod account;
mod base_url;
mod broker;
mod delivery;
mod duration;
mod http;
mod log;
mod reader;
mod secret;
mod written;

pub use account::{
    AccountConfig, AccountLimits, AccountSecretError, AccountSecrets, DealIdentity, SegmentSources, Tags,
};
pub use base_url::{BaseUrl, BaseUrlError, PlainHttp};
pub use broker::{BrokerConfig, BrokerUrl, ClientIdentity};
pub use delivery::DeliveryConfig;
pub use duration::parse_duration;
pub use http::HttpConfig;
pub use log::{LogConfig, LogFormat};
pub use reader::{ConfigProblem, Environment};
pub use secret::{SecretError, SecretSource, SecretsNeeded};
pub use written::WrittenKeys;

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use reader::Section;

/// The whole configuration.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is described at its type")]
pub struct Config {
    pub broker: BrokerConfig,
    pub http: HttpConfig,
    pub delivery: DeliveryConfig,
    pub log: LogConfig,
    /// What the file says, to be compared with a later reading.
    pub written: WrittenKeys,
    /// At least one; names are unique.
    pub accounts: Vec<AccountConfig>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {path}: {source}; name a file with --config, or in $FRESHET_CONFIG"
    )]
    Unreadable {
        /// The configuration file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML. The line is not shown, as it may hold a password.
    #[error("{path}, line {line}: not valid TOML: {message}")]
    Syntax {
        /// The configuration file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's.
        message: String,
    },
    /// The file is TOML, but some keys are wrong.
    #[error("{}", listed(.path, .problems))]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// At least one.
        problems: Vec<ConfigProblem>,
    },
}

fn listed(path: &Path, problems: &[ConfigProblem]) -> String {
    let count = problems.len();
    let mut text = format!("{}: {count} problem{}", path.display(), if count == 1 { "" } else { "s" });
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

/// The file named by `--config`, else by `$FRESHET_CONFIG`, else `./freshet.toml`.
pub fn path(argument: Option<PathBuf>) -> PathBuf {
    argument
        .or_else(|| environment("FRESHET_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("freshet.toml"))
}

/// A variable of the process' environment. Nothing else reads it.
#[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The names of all variables of the process' environment that begin as Freshet's own do.
pub fn variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut own: Vec<String> = names.filter(|name| name.starts_with("FRESHET_")).collect();
    own.sort();
    own
}

/// Reads and checks a file. Of the secrets, those are read that are needed, to report the ones that are not there.
pub fn load(
    path: &Path,
    environment: Environment<'_>,
    secrets: SecretsNeeded,
) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text, path, environment, secrets)
}

/// Checks a configuration's text. `path` is only named in errors.
pub fn parse(
    text: &str,
    path: &Path,
    environment: Environment<'_>,
    secrets: SecretsNeeded,
) -> Result<Config, ConfigError> {
    let mut root: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
    })?;
    let mut problems = Vec::new();
    let (of_broker, of_all) = match secrets {
        SecretsNeeded::None => (None, None),
        SecretsNeeded::Broker => (Some(environment), None),
        SecretsNeeded::All => (Some(environment), Some(environment)),
    };
    let section = Section::overridable(&mut root, "broker", environment, &mut problems);
    let broker = BrokerConfig::read(section, of_broker);
    let http = HttpConfig::read(Section::overridable(&mut root, "http", environment, &mut problems), of_all);
    let delivery =
        DeliveryConfig::read(Section::overridable(&mut root, "delivery", environment, &mut problems));
    let log = LogConfig::read(Section::overridable(&mut root, "log", environment, &mut problems));
    let accounts = accounts(root.remove("accounts"), of_all, &mut problems);
    for key in root.keys() {
        let known = ["broker", "http", "delivery", "log", "accounts"];
        problems
            .push(ConfigProblem { key: reader::shown_key(key), message: reader::unknown_key(key, &known) });
    }
    if problems.is_empty() {
        let written = WrittenKeys::of(text, environment);
        Ok(Config { broker, http, delivery, log, written, accounts })
    } else {
        Err(ConfigError::Invalid { path: path.to_owned(), problems })
    }
}

fn accounts(
    value: Option<Value>,
    secrets: Option<Environment<'_>>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<AccountConfig> {
    let tables = match value {
        Some(Value::Array(tables)) if !tables.is_empty() => tables,
        _ => {
            let message = "expected at least one `[[accounts]]` with name, url and api_key".to_owned();
            problems.push(ConfigProblem { key: "accounts".to_owned(), message });
            return Vec::new();
        }
    };
    let mut accounts: Vec<AccountConfig> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("accounts[{index}]");
        let Value::Table(table) = table else {
            problems.push(ConfigProblem { key: path, message: "expected a table".to_owned() });
            continue;
        };
        let section = Section::plain(path.clone(), table, problems);
        if let Some(account) = AccountConfig::read(section, secrets) {
            check_unique(&accounts, &account, &path, problems);
            accounts.push(account);
        }
    }
    accounts
}

/// A name, a write key or a project must belong to one account only.
fn check_unique(
    earlier: &[AccountConfig],
    account: &AccountConfig,
    path: &str,
    problems: &mut Vec<ConfigProblem>,
) {
    for other in earlier {
        let mut clash = |key: &str, what: &str| {
            let message = format!("{what} belongs to account `{}` already", other.name);
            problems.push(ConfigProblem { key: format!("{path}.{key}"), message });
        };
        if other.name == account.name {
            clash("name", "this name");
        }
        for key in account.sources.write_keys.iter().filter(|key| other.sources.write_keys.contains(key)) {
            clash("write_keys", &format!("\"{key}\""));
        }
        for id in account.sources.project_ids.iter().filter(|id| other.sources.project_ids.contains(id)) {
            clash("project_ids", &format!("\"{id}\""));
        }
    }
}

#[cfg(test)]
mod tests;
