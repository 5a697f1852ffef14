//! Every setting, its default and its rules. Nothing else reads files or the environment.
//!
//! All problems are found before any is told; each names its key.

mod account;
mod base_url;
#[cfg(test)]
mod fuzz_tests;
mod reader;
mod secret;

pub use account::{Account, DealIdentity, Tags};
pub use base_url::{BaseUrl, BaseUrlError};
pub use reader::{Environment, Problem, parse_duration};

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use crate::broker::{Address, Addresses};
use crate::freshsales::BULK_JOB_LIMIT;
use crate::segment::{BODY_LIMIT, Opener};
use reader::Section;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events come from.
    pub broker: Broker,
    /// Where the daemon is watched.
    pub http: Http,
    /// How events are delivered.
    pub delivery: Delivery,
    /// What is written about it.
    pub log: Log,
    /// At least one; names are unique.
    pub accounts: Vec<Account>,
}

/// `[broker]`
#[derive(Debug, Clone)]
pub struct Broker {
    /// `amqp://` or `amqps://`, one for each node of the broker; they hold passwords.
    pub url: Addresses,
    /// The intake queue; every other object's name starts with it.
    pub queue: String,
    /// Unsettled events held per account.
    pub prefetch: NonZeroU16,
    /// Bytes of unsettled events held per account.
    pub prefetch_bytes: u64,
    /// This replica's name.
    pub replica: String,
    /// The largest body that holds several events, in bytes.
    pub max_batch: usize,
    /// Keys under which an object without a `type` may hold the event.
    pub unwrap: Vec<String>,
}

impl Broker {
    /// What reads the bodies of messages.
    pub fn opener(&self) -> Opener {
        Opener::new(self.unwrap.clone(), self.max_batch)
    }
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Metrics, health, status page.
    pub listen: SocketAddr,
}

/// `[delivery]`
#[derive(Debug, Clone)]
pub struct Delivery {
    /// After this long an unanswered call counts as failed.
    pub request_timeout: Duration,
    /// How long calls in flight may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// A lane that could settle something and settles nothing for so long is stuck.
    pub stuck_after: Duration,
    /// A record that never gets through for so long, while others do, is given up.
    pub give_up_after: Duration,
    /// Requests in flight per account.
    pub concurrency: usize,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level or a `RUST_LOG` filter.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {path}: {source}; name a file with --config, or in $FRESHET_CONFIG"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML. The line itself is not shown: it may hold a password.
    #[error("{path}, line {line}: not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What.
        message: String,
    },
    /// It is TOML but not a configuration.
    #[error("{}", listed(.path, .problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<Problem>,
    },
}

fn listed(path: &Path, problems: &[Problem]) -> String {
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

/// The process environment. The only place that reads it.
#[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and checks a file.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    parse(&text, path, environment)
}

/// Checks a configuration's text; `path` is only named in errors.
pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Config, Error> {
    let mut root: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Error::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
    })?;
    let mut problems = Vec::new();

    let mut section = Section::overridable(&mut root, "broker", environment, &mut problems);
    let broker = Broker {
        url: section
            .parsed_each("url", Addresses::split, Address::parse)
            .and_then(Addresses::new)
            .unwrap_or_default(),
        queue: section.parsed("queue", queue_name).unwrap_or_else(|| "segment.events".to_owned()),
        prefetch: section
            .whole("prefetch", 1..=u32::from(u16::MAX))
            .and_then(|n| u16::try_from(n).ok())
            .and_then(NonZeroU16::new)
            .unwrap_or(DEFAULT_PREFETCH),
        prefetch_bytes: section.size("prefetch_bytes").unwrap_or(DEFAULT_PREFETCH_BYTES),
        replica: section.parsed("replica", replica_name).unwrap_or_else(host_name),
        max_batch: max_batch(&mut section),
        unwrap: section.parsed_list("unwrap", wrapping_key),
    };
    section.finish();

    let mut section = Section::overridable(&mut root, "http", environment, &mut problems);
    let http = Http {
        listen: section
            .parsed("listen", |text| {
                text.parse::<SocketAddr>()
                    .map_err(|_| "expected an address and a port, such as \"127.0.0.1:9464\"")
            })
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9464))),
    };
    section.finish();

    let mut section = Section::overridable(&mut root, "delivery", environment, &mut problems);
    let request_timeout = section.duration("request_timeout").unwrap_or(Duration::from_secs(30));
    let delivery = Delivery {
        request_timeout,
        shutdown_grace: section.duration("shutdown_grace").unwrap_or(Duration::from_secs(25)),
        stuck_after: stuck_after(&mut section, request_timeout),
        give_up_after: section.parsed("give_up_after", patience).unwrap_or(Duration::from_hours(72)),
        concurrency: section.whole("concurrency", 1..=256).map_or(8, |n| n as usize),
    };
    section.finish();

    let mut section = Section::overridable(&mut root, "log", environment, &mut problems);
    let log = Log {
        format: section
            .parsed("format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("expected \"text\" or \"json\""),
            })
            .unwrap_or(LogFormat::Text),
        level: section.parsed("level", log_filter).unwrap_or_else(|| "info".to_owned()),
    };
    section.finish();

    let accounts = accounts(root.remove("accounts"), environment, &mut problems);
    for key in root.keys() {
        let known = ["broker", "http", "delivery", "log", "accounts"];
        problems.push(Problem { key: reader::named(key), message: reader::unknown_key(key, &known) });
    }
    if problems.is_empty() {
        Ok(Config { broker, http, delivery, log, accounts })
    } else {
        Err(Error::Invalid { path: path.to_owned(), problems })
    }
}

/// The largest body that holds several events. A single event may have [`BODY_LIMIT`] bytes in any case.
fn max_batch(section: &mut Section<'_>) -> usize {
    let Some(size) = section.size("max_batch") else { return Opener::DEFAULT_MAX_BATCH };
    let size = usize::try_from(size).ok().filter(|size| (BODY_LIMIT..=LARGEST_BATCH).contains(size));
    size.unwrap_or_else(|| {
        section.problem("max_batch", "expected a size from \"1MiB\" to \"512MiB\"");
        Opener::DEFAULT_MAX_BATCH
    })
}

/// A lane that waits for one answer or one bulk job is not stuck: restarting it would lose the wait and mend nothing.
fn stuck_after(section: &mut Section<'_>, request_timeout: Duration) -> Duration {
    let after = section.parsed("stuck_after", patience).unwrap_or(Duration::from_mins(15));
    if after <= BULK_JOB_LIMIT.max(request_timeout) {
        let job = BULK_JOB_LIMIT.as_secs() / 60;
        let message =
            format!("expected more than a bulk job may take ({job}m), and more than request_timeout");
        section.problem("stuck_after", message);
    }
    after
}

/// RabbitMQ takes no larger message.
const LARGEST_BATCH: usize = 512 * 1024 * 1024;
const DEFAULT_PREFETCH_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_PREFETCH: NonZeroU16 = NonZeroU16::new(400).unwrap();

fn accounts(value: Option<Value>, environment: Environment<'_>, problems: &mut Vec<Problem>) -> Vec<Account> {
    let tables = match value {
        Some(Value::Array(tables)) if !tables.is_empty() => tables,
        _ => {
            let message = "expected at least one `[[accounts]]` with name, url and api_key".to_owned();
            problems.push(Problem { key: "accounts".to_owned(), message });
            return Vec::new();
        }
    };
    let mut accounts: Vec<Account> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("accounts[{index}]");
        let Value::Table(table) = table else {
            problems.push(Problem { key: path, message: "expected a table".to_owned() });
            continue;
        };
        let section = Section::plain(path.clone(), table, problems);
        if let Some(account) = account::read(section, environment) {
            claim(&accounts, &account, &path, problems);
            accounts.push(account);
        }
    }
    accounts
}

/// A name, a write key or a project belongs to one account only.
fn claim(earlier: &[Account], account: &Account, path: &str, problems: &mut Vec<Problem>) {
    for other in earlier {
        let mut clash = |key: &str, what: &str| {
            let message = format!("{what} belongs to account `{}` already", other.name);
            problems.push(Problem { key: format!("{path}.{key}"), message });
        };
        if other.name == account.name {
            clash("name", "this name");
        }
        for key in account.write_keys.iter().filter(|key| other.write_keys.contains(key)) {
            clash("write_keys", &format!("\"{key}\""));
        }
        for id in account.project_ids.iter().filter(|id| other.project_ids.contains(id)) {
            clash("project_ids", &format!("\"{id}\""));
        }
    }
}

/// The longest name made from it is `Q.lane.` and an account's 64 characters; AMQP takes 255 bytes.
fn queue_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 180 || text.starts_with("amq.") || text.chars().any(char::is_control) {
        return Err("expected a queue's name of 1 to 180 bytes that does not start with `amq.`");
    }
    Ok(text.to_owned())
}

/// Lanes are looked at every second.
fn patience(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|patience| {
        let enough = patience >= Duration::from_secs(1);
        enough.then_some(patience).ok_or_else(|| "expected at least one second".to_owned())
    })
}

fn replica_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err("expected a name of 1 to 128 bytes, different for each replica");
    }
    Ok(text.to_owned())
}

fn wrapping_key(text: &str) -> Result<String, &'static str> {
    // A list as the file has it, put into the environment, would be one odd key that no event has.
    let list = text.starts_with(['[', '"']);
    if text.is_empty() || list || ["type", "batch", "specversion"].contains(&text) {
        return Err(
            "expected a key's name such as payload, without brackets or quotes, and none of `type`, \
                    `batch`, `specversion`",
        );
    }
    Ok(text.to_owned())
}

fn host_name() -> String {
    hostname::get().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "freshet".to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    text.parse::<tracing_subscriber::filter::Targets>().map(|_| text.to_owned()).map_err(|_| {
        "expected error, warn, info, debug or trace, or a filter such as \"info,freshet=debug\"".to_owned()
    })
}

#[cfg(test)]
mod tests;
