//! Every setting, its default and its rules. Nothing else reads configuration files or the environment.
//!
//! All problems of a file are reported together, each with its key. The commands load it; every room is handed its part.

mod access;
mod account;
mod broker;
mod claims;
mod delivery;
mod http;
mod log;
mod reading;
mod values;

pub use access::{AccountAccess, AccountSecretError, AccountSecrets};
pub use account::{AccountConfig, AccountLimits, SegmentSources};
pub use broker::{BrokerConfig, BrokerUrl, ClientIdentity};
use claims::{AccountClaims, check_unique};
pub use delivery::DeliveryConfig;
pub use http::HttpConfig;
pub use log::{LogConfig, LogFormat};
pub use reading::problem::{ConfigError, ConfigProblem, ProblemPlace};
pub use reading::reader::Environment;
pub use reading::written::WrittenKeys;
pub use values::base_url::{BaseUrl, BaseUrlError, PlainHttp};
pub use values::choices::{DealIdentity, Links, RecordChoices, Tags};
pub use values::duration::parse_duration;
pub use values::secret::{SecretError, SecretSource, SecretsNeeded};

use std::path::{Path, PathBuf};

use toml::Value;

use reading::reader::{Problems, Section};
use reading::source::Source;

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

/// The file named by `--config`, else by `$FRESHET_CONFIG`, else `./freshet.toml`.
#[expect(clippy::disallowed_methods, reason = "a path need not be UTF-8")]
pub fn path(argument: Option<PathBuf>) -> PathBuf {
    argument
        .or_else(|| std::env::var_os("FRESHET_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("freshet.toml"))
}

/// A variable of the process' environment. Nothing else reads it.
///
/// Bytes that are no UTF-8 become U+FFFD, so that the value is refused. Were it taken for missing, a default would be used.
#[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
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
    let invalid = |problems| ConfigError::Invalid { path: path.to_owned(), problems };
    let (mut root, source) = Source::read(text).map_err(invalid)?;
    let mut problems = Problems::new(source);
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
        problems.add_unknown("", key, &["broker", "http", "delivery", "log", "accounts"]);
    }
    let problems = problems.into_sorted();
    if problems.is_empty() {
        let written = WrittenKeys::of(text, environment);
        Ok(Config { broker, http, delivery, log, written, accounts })
    } else {
        Err(invalid(problems))
    }
}

fn accounts(
    value: Option<Value>,
    secrets: Option<Environment<'_>>,
    problems: &mut Problems,
) -> Vec<AccountConfig> {
    let tables = match value {
        Some(Value::Array(tables)) if !tables.is_empty() => tables,
        _ => {
            let message = "expected at least one `[[accounts]]` with name, url and api_key";
            problems.add("accounts".to_owned(), message);
            return Vec::new();
        }
    };
    let mut accounts: Vec<AccountConfig> = Vec::new();
    let mut claimed: Vec<(String, AccountClaims)> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("accounts[{index}]");
        let Value::Table(table) = table else {
            problems.add(path, "expected a table");
            continue;
        };
        let section = Section::plain(path.clone(), table, problems);
        let (claims, account) = AccountConfig::read(section, secrets);
        check_unique(&claimed, &claims, &path, problems);
        claimed.push((path, claims));
        accounts.extend(account);
    }
    accounts
}

#[cfg(test)]
mod tests;
