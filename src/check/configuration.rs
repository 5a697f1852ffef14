//! What is found in the configuration alone: it needs no network.

use std::path::PathBuf;

use super::finding::{CheckFindings, Finding, Subject};
use super::words::listed;
use crate::config::{AccountConfig, Config};
use crate::segment::EventType;
use crate::words::counted;

/// Whoever is on the machine may read it.
const READABLE_BY_ALL: u32 = 0o004;

/// What the command saw of the surroundings.
#[derive(Debug, Default)]
pub struct ConfigurationFacts {
    /// The configuration file.
    pub path: PathBuf,
    /// The variables that Freshet would take.
    pub known_variables: Vec<String>,
    /// Those of them that are set.
    pub set_variables: Vec<String>,
    /// All that are set and begin with `FRESHET_`.
    pub own_variables: Vec<String>,
    #[expect(missing_docs, reason = "described at its type")]
    pub secrets: SecretsState,
    /// Files that hold secrets, the configuration file among them if it does.
    pub secret_files: Vec<SecretFile>,
}

/// Whether the secrets are there.
#[derive(Debug, Default)]
pub enum SecretsState {
    /// They were not looked at.
    #[default]
    NotRead,
    /// So many are there, and these are not: the key, and why.
    Read {
        /// Those that are there.
        found: u64,
        /// Keys, and why there is no secret.
        missing: Vec<(String, String)>,
    },
}

/// A file that holds a secret.
#[derive(Debug)]
pub struct SecretFile {
    /// What is in it: a key of the configuration.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its permissions, as `chmod` takes them.
    pub mode: u32,
}

/// Says what is found, about these of its accounts.
pub fn configuration(
    config: &Config,
    accounts: &[&AccountConfig],
    facts: &ConfigurationFacts,
) -> Vec<Finding> {
    let mut findings = CheckFindings::about(Subject::Configuration);
    let names: Vec<&str> = accounts.iter().map(|account| &*account.name).collect();
    let number = counted(config.accounts.len() as u64, "account", "accounts");
    let of = if names.len() == config.accounts.len() { "" } else { ", of which checked" };
    findings.ok("file", format!("{} is right: {number}{of}: {}", facts.path.display(), listed(&names)));
    broker_url(config, facts, &mut findings);
    environment(facts, &mut findings);
    secrets(facts, &mut findings);
    file_modes(facts, &mut findings);
    urls(config, accounts, &mut findings);
    routing(config, accounts, &mut findings);
    app_tokens(accounts, &mut findings);
    findings.finish()
}

/// Without an address the default is used, which a set-up hardly ever means.
fn broker_url(config: &Config, facts: &ConfigurationFacts, findings: &mut CheckFindings) {
    let from_environment = facts.set_variables.iter().any(|name| name == "FRESHET_BROKER_URL");
    if !config.written.has("broker.url") && !from_environment {
        let message = "neither the file nor FRESHET_BROKER_URL says where RabbitMQ is: 127.0.0.1:5672 is used, as guest";
        findings.warn("broker_url", message, "set broker.url");
    }
}

fn environment(facts: &ConfigurationFacts, findings: &mut CheckFindings) {
    const CHECK: &str = "environment";
    // Not settings: the one names the file, the other was for the build.
    let other = ["FRESHET_CONFIG", "FRESHET_REVISION"];
    let known = |name: &&String| facts.known_variables.contains(name) || other.contains(&name.as_str());
    for name in facts.own_variables.iter().filter(|name| !known(name)) {
        let nearest = facts
            .known_variables
            .iter()
            .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let remedy = match nearest {
            Some((score, candidate)) if score > 0.9 => format!("did you mean {candidate}? Else unset it"),
            _ => "unset it; docs/CONFIGURATION.md lists the keys that the environment overrides".to_owned(),
        };
        findings.warn(CHECK, format!("{name} is set and overrides nothing"), remedy);
    }
    let overriding: Vec<String> = facts.set_variables.iter().map(|name| overridden(name)).collect();
    match overriding.as_slice() {
        [] if findings.nothing_for(CHECK) => findings.ok(CHECK, "overrides no key of the file"),
        [] => {}
        some => findings.ok(CHECK, listed(some)),
    }
}

/// `FRESHET_BROKER_URL overrides broker.url`.
fn overridden(variable: &str) -> String {
    let name = variable.strip_prefix("FRESHET_").unwrap_or(variable).to_lowercase();
    match name.split_once('_') {
        Some(_) if variable == "RUST_LOG" => format!("{variable} overrides log.level"),
        Some((section, key)) => format!("{variable} overrides {section}.{key}"),
        None => variable.to_owned(),
    }
}

fn secrets(facts: &ConfigurationFacts, findings: &mut CheckFindings) {
    const CHECK: &str = "secrets";
    match &facts.secrets {
        SecretsState::NotRead => {
            findings.skip(CHECK, "not read with --offline", "leave out --offline where the secrets are");
        }
        SecretsState::Read { found, missing } => {
            for (key, why) in missing {
                findings.fail(
                    CHECK,
                    format!("{key}: {why}"),
                    "nothing that needs it was tried; provide it first",
                );
            }
            if missing.is_empty() {
                findings.ok(CHECK, format!("{} read", counted(*found, "secret", "secrets")));
            }
        }
    }
}

fn file_modes(facts: &ConfigurationFacts, findings: &mut CheckFindings) {
    const CHECK: &str = "file_modes";
    for file in facts.secret_files.iter().filter(|file| file.mode & READABLE_BY_ALL != 0) {
        let (path, mode) = (file.path.display(), file.mode & 0o777);
        let message =
            format!("{path}, which holds {}, can be read by everyone here (mode {mode:03o})", file.key);
        findings.warn(CHECK, message, format!("chmod o= {path}"));
    }
    if findings.nothing_for(CHECK) {
        match facts.secret_files.len() {
            0 => findings.ok(CHECK, "no file holds a secret"),
            files => findings.ok(
                CHECK,
                format!("{} of secrets, closed to others", counted(files as u64, "file", "files")),
            ),
        }
    }
}

fn urls(config: &Config, accounts: &[&AccountConfig], findings: &mut CheckFindings) {
    const CHECK: &str = "urls";
    for account in accounts {
        let (name, url) = (&account.name, &account.access.url);
        let others = config
            .accounts
            .iter()
            .filter(|other| other.name != *name && other.access.url.as_str() == url.as_str());
        let others: Vec<&str> = others.map(|other| &*other.name).collect();
        if !others.is_empty() {
            findings.warn(
                CHECK,
                format!("account {name} has the same url as {}: {url}", listed(&others)),
                "use one account with the write_keys of all: each takes the whole quota for itself, and they \
                 overwrite each other's contacts without order",
            );
        }
        if url.is_exposed() {
            findings.warn(
                CHECK,
                format!("account {name}: {url} is plain http: its key crosses the network unencrypted"),
                "use https, and take out insecure_http",
            );
        }
        if url.may_lack_path() && !url.as_str().starts_with("http://") {
            findings.warn(
                CHECK,
                format!(
                    "account {name}: {url} has no /crm/sales, where the API is on all but classic domains"
                ),
                format!("if the account answers 404, write url = \"{url}/crm/sales\""),
            );
        }
    }
    let taken = accounts.iter().filter(|account| account.access.url.as_str() != account.access.url.given());
    let taken: Vec<String> = taken
        .map(|account| {
            format!("{}: \"{}\" is taken as {}", account.name, account.access.url.given(), account.access.url)
        })
        .collect();
    if !taken.is_empty() {
        findings.ok(CHECK, listed(&taken));
    } else if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "as written");
    }
}

fn routing(config: &Config, accounts: &[&AccountConfig], findings: &mut CheckFindings) {
    const CHECK: &str = "routing";
    let unclaimed = |account: &&&AccountConfig| {
        account.sources.write_keys.is_empty() && account.sources.project_ids.is_empty()
    };
    let without: Vec<&str> = accounts.iter().filter(unclaimed).map(|account| &*account.name).collect();
    if config.accounts.len() == 1 && !without.is_empty() {
        findings.ok(CHECK, "the only account, without keys: it takes every event");
    } else if without.is_empty() {
        findings.ok(CHECK, "each account has write_keys or project_ids");
    } else {
        findings.warn(
            CHECK,
            format!("no write_keys or project_ids: {}", listed(&without)),
            "list the keys of their Segment sources: events reach these accounts by the header freshsales-account only",
        );
    }
}

fn app_tokens(accounts: &[&AccountConfig], findings: &mut CheckFindings) {
    const CHECK: &str = "app_tokens";
    let tracks = |account: &&&AccountConfig| {
        account.events.iter().any(|event| matches!(event, EventType::Track | EventType::Page))
    };
    let without = accounts.iter().filter(tracks).filter(|account| account.access.app_token.is_none());
    let without: Vec<&str> = without.map(|account| &*account.name).collect();
    if without.is_empty() {
        findings.ok(CHECK, "there wherever `events` has track or page");
    } else {
        findings.warn(
            CHECK,
            format!("`events` has track or page, and there is no app_token: {}", listed(&without)),
            "add app_token, or say events = [\"identify\"]: tracks and pages become dead letters",
        );
    }
}

#[cfg(test)]
mod tests;
