//! `freshet demo`: example events go through the real lanes into two sandboxes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::running::engine::{self, Engine};
use super::running::{feed, summary};
use super::terminal::output::{Failure, print};
use crate::config::{self, BaseUrl, Config, LogFormat, PlainHttp, SecretsNeeded};
use crate::dead_letter::Letter;
use crate::file_feed::LetterStore;
use crate::lane::BackoffSettings;
use crate::sandbox::{Options, Sandbox};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// Keep running afterwards, so that the pages can be opened
    #[arg(long)]
    keep_running: bool,
}

const EVENTS: &str = include_str!("../../examples/events.ndjson");
const CONFIGURATION: &str = include_str!("../../examples/freshet.toml");
/// Far above a real plan's, so that the demo does not wait for quota.
const REQUESTS_PER_HOUR: u32 = 100_000;

/// An account and the sandbox behind it.
struct DemoAccount {
    name: &'static str,
    sandbox: Sandbox,
    address: SocketAddr,
}

/// Keeps the dead letters, to be printed at the end.
struct Shown(Arc<Mutex<Vec<Letter>>>);

impl LetterStore for Shown {
    fn append(&mut self, letter: &Letter) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) async fn run(arguments: DemoArguments) -> Result<(), Failure> {
    let level = config::environment("RUST_LOG");
    let _logging = telemetry::start(LogFormat::Text, "error", level);
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    let mut sandboxes = JoinSet::new();
    let accounts =
        [sandbox("acme", &mut sandboxes, &stop).await?, sandbox("globex", &mut sandboxes, &stop).await?];
    let config = configuration(&accounts)?;

    print(
        "Two sandboxes stand in for the Freshsales accounts acme and globex; a file stands in for RabbitMQ.\n\
         Feeding examples/events.ndjson through the engine ...\n\n",
    )?;
    // The sandbox's searches see writes at once.
    let backoff = BackoffSettings { look_up_delay: Duration::from_secs(1), ..BackoffSettings::default() };
    let engine = Engine::start_with(&config, &environment, backoff, &stop)?;
    let listener = engine::listen(&config).await?;
    let pages = listener.local_addr().map_err(Failure::failed)?;
    let _pages = engine::serve_pages(listener, engine.status_sources("demo", None), &stop)?;
    let letters = Arc::new(Mutex::new(Vec::new()));
    let kept = letters.clone();
    let events = Box::new(EVENTS.as_bytes());
    let (counts, fed) = feed::deliver(engine, &config, events, Box::new(Shown(kept)), stop.clone()).await;
    fed.map_err(Failure::failed)?;
    let mut text = summary::counts(&counts);
    let line =
        |account: &DemoAccount| format!("  {:<8} {}\n", account.name, arrived(&account.sandbox.state()));
    text.push_str("\nWhat arrived:\n");
    text.extend(accounts.iter().map(line));
    text.push_str("\nThe dead letters, and why:\n");
    let letters = std::mem::take(&mut *letters.lock().unwrap_or_else(PoisonError::into_inner));
    text.extend(letters.iter().map(|letter| format!("  {}\n", described(&letter.headers))));
    text.push_str(
        "\nWith RabbitMQ, each of these would be in segment.events.dead, with the same reason in its headers.\n",
    );
    if !arguments.keep_running {
        text.push_str("Look around with: freshet demo --keep-running\n");
        print(text)?;
        stop.cancel();
        while sandboxes.join_next().await.is_some() {}
        return Ok(());
    }
    print(text)?;
    print(format!(
        "\nStill running; stop it with Ctrl-C.\n  status page  http://{pages}/\n  metrics      http://{pages}/metrics\n"
    ))?;
    for account in &accounts {
        print(format!("  {:<12} http://{}/\n", account.name, account.address))?;
    }
    stop.cancelled().await;
    Ok(())
}

async fn sandbox(
    name: &'static str,
    tasks: &mut JoinSet<std::io::Result<()>>,
    stop: &CancellationToken,
) -> Result<DemoAccount, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let sandbox = Sandbox::new(Options { requests_per_hour: Some(REQUESTS_PER_HOUR), ..Options::default() });
    let (served, stop) = (sandbox.clone(), stop.clone());
    tasks.spawn(async move { served.serve(listener, stop).await });
    Ok(DemoAccount { name, sandbox, address })
}

/// The user's environment must not change what the demo shows.
fn environment(name: &str) -> Option<String> {
    (name.ends_with("_API_KEY") || name.ends_with("_APP_TOKEN")).then(|| "demo".to_owned())
}

/// The example configuration, with the sandboxes' addresses.
fn configuration(accounts: &[DemoAccount]) -> Result<Config, Failure> {
    let path = Path::new("examples/freshet.toml");
    let mut config =
        config::parse(CONFIGURATION, path, &environment, SecretsNeeded::All).map_err(Failure::failed)?;
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    for account in &mut config.accounts {
        if let Some(sandbox) = accounts.iter().find(|sandbox| *sandbox.name == *account.name) {
            account.access.url =
                BaseUrl::parse(&format!("http://{}", sandbox.address), PlainHttp::LoopbackOnly)
                    .map_err(Failure::failed)?;
        }
        account.limits.requests_per_hour = f64::from(REQUESTS_PER_HOUR);
        account.limits.tracking_requests_per_minute = f64::from(REQUESTS_PER_HOUR);
    }
    Ok(config)
}

fn arrived(state: &Value) -> String {
    let count = |key: &str, one: &str, many: &str| {
        let number = state.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        format!("{number} {}", if number == 1 { one } else { many })
    };
    [
        count("contacts", "contact", "contacts"),
        count("sales_accounts", "sales account", "sales accounts"),
        count("deals", "deal", "deals"),
        count("activities", "activity", "activities"),
    ]
    .join(", ")
}

/// A dead letter's reason, event and problems.
fn described(headers: &serde_json::Map<String, Value>) -> String {
    let text = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or("-");
    let detail = serde_json::from_str::<Vec<BTreeMap<String, Option<String>>>>(text("freshet-detail"))
        .unwrap_or_default();
    let mut lines = format!("{:<24} {}", text("freshet-reason"), text("freshet-message-id"));
    for problem in detail {
        let part = |name: &str| problem.get(name).and_then(Option::as_deref);
        let place = part("trait").or(part("field")).map(|place| format!("{place}: ")).unwrap_or_default();
        let got = part("got").map(|got| format!(", got {got}")).unwrap_or_default();
        let expected = part("expected").map(|expected| format!("; expected {expected}")).unwrap_or_default();
        lines.extend(["\n      ", &place, part("problem").unwrap_or_default(), &got, &expected]);
    }
    lines
}
