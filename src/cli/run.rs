//! `freshet run`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config_file::ConfigFile;
use super::running::engine::{self, Engine};
use super::running::feed;
use super::running::reload::Reload;
use super::running::service_manager::ServiceManager;
use super::running::telling;
use super::terminal::output::Failure;
use crate::broker::{self, BrokerFacts, BrokerHealth, Context, DeadLetterQueue, Names, RoutedAccounts};
use crate::config::{self, Config, SecretsNeeded};
use crate::delivery::HeldBytes;
use crate::metrics::Metrics;
use crate::status::{AdminAccess, LetterWorker};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Deliver the events in this file instead of RabbitMQ's, and end when all are settled: one JSON object or batch
    /// per line, .gz for gzip, - for standard input; may be a file that --dead-letters has written
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write events that cannot be delivered to this file, one JSON object per line; keeps what it holds
    #[arg(long, value_name = "FILE", requires = "events")]
    dead_letters: Option<PathBuf>,
}

pub(super) async fn run(arguments: RunArguments) -> Result<(), Failure> {
    // From the first moment: a signal that nobody handles ends the process.
    let hangups = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    let config = arguments.config.load(SecretsNeeded::All)?;
    let _logging = telemetry::start(config.log.format, &config.log.level, config::environment("RUST_LOG"));
    match arguments.events {
        Some(events) => feed::run(&config, &events, arguments.dead_letters.as_deref(), hangups).await,
        None => daemon(config, arguments.config, hangups).await,
    }
}

async fn daemon(config: Config, file: ConfigFile, hangups: Signal) -> Result<(), Failure> {
    let (signalled, stop) = (CancellationToken::new(), CancellationToken::new());
    let _signals = engine::stop_on_signals(signalled.clone())?;
    let listener = engine::listen(&config).await?;
    let engine = Engine::start(&config, &config::environment, &stop)?;
    let health = Arc::new(BrokerHealth::new(&engine.metrics));
    let facts = Arc::new(BrokerFacts::default());
    let mut sources = engine.status_sources(&config.broker.replica, Some((health.clone(), facts.clone())));
    let survey = sources.fleet.clone();
    let service = ServiceManager::of_environment();
    sources.alive_signal = service.alive_signal();
    let Engine { metrics, mut lanes, .. } = engine;
    let counters = metrics.clone();
    let reload = Reload::new(file, hangups, service, metrics.clone(), survey.clone(), config.written.clone());
    let following = health.clone();
    let addresses = config.broker.addresses(&config::environment);
    let addresses = addresses.map_err(|error| Failure::Usage(format!("broker.url: {error}")))?;
    let token = config.http.read_admin_token(&config::environment);
    let token = token.map_err(|error| Failure::Usage(format!("http.admin_token: {error}")))?;
    sources.admin = AdminAccess::new(token.as_ref(), &config.http.hosts, config.http.listen);
    let names = Names::new(&config.broker.queue);
    let letters = DeadLetterQueue::new(&addresses, &names, config.broker.opener());
    let (letters, port) = LetterWorker::new(letters, lanes.roster(), metrics.clone(), survey.clone());
    sources.letters = Some(port);
    let context = Context {
        names,
        replica: config.broker.replica.clone(),
        prefetch: config.broker.prefetch.get(),
        held_bytes: Arc::new(HeldBytes::new(config.broker.prefetch_bytes)),
        lanes: lanes.shown(),
        routed: RoutedAccounts::default(),
        opener: config.broker.opener(),
        metrics,
        health,
        facts,
    };
    let (_telling, status) = telling::start(survey, &stop);
    // Served until the end, so that a slow stop can be observed.
    let closed = CancellationToken::new();
    let _pages = engine::serve_pages(listener, sources, &closed)?;
    tracing::info!(
        replica = config.broker.replica,
        accounts = config.accounts.len(),
        broker.queue = config.broker.queue,
        "freshet {}",
        env!("CARGO_PKG_VERSION")
    );
    service.ready().await;
    let mut followers = JoinSet::new();
    followers.spawn(service.follow(following));
    let work = async {
        tokio::join!(
            broker::run(addresses, context, status, stop.clone()),
            reload.serve(&mut lanes, &stop),
            letters.run(&stop)
        );
        while lanes.one_ended().await {}
    };
    tokio::pin!(work);
    let stopped = tokio::select! {
        () = &mut work => {
            tracing::info!("stopped");
            Ok(())
        }
        events = stop_with_grace(&signalled, &stop, service, config.delivery.shutdown_grace, &counters) => {
            tracing::error!(events, "delivery.shutdown_grace ran out; these events are delivered again");
            Err(Failure::Logged)
        }
    };
    closed.cancel();
    stopped
}

/// Cancels `stop` on a signal and waits for the grace to run out. Returns how many events are not settled.
async fn stop_with_grace(
    signalled: &CancellationToken,
    stop: &CancellationToken,
    service: ServiceManager,
    grace: Duration,
    metrics: &Metrics,
) -> u64 {
    signalled.cancelled().await;
    // Lanes return events as soon as `stop` is cancelled.
    let returned_before = metrics.returned();
    stop.cancel();
    let ended = Instant::now() + grace;
    service.stopping().await;
    tokio::time::sleep_until(ended).await;
    metrics.in_flight() + metrics.returned().saturating_sub(returned_before)
}
