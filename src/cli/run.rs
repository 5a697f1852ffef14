//! `freshet run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::engine::{self, Engine};
use super::{ConfigFile, Failure, feed};
use crate::broker::{self, BrokerHealth, Context, Names};
use crate::config::{self, Config};
use crate::delivery::HeldBytes;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Take events from this file (one JSON object or batch a line, gzip by its ending, - for standard input)
    /// instead of RabbitMQ, and end when all are settled; a file of dead letters is sent back as it is
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Where to write what cannot be delivered, one JSON object a line; an older file of dead letters is added to
    #[arg(long, value_name = "FILE", requires = "events")]
    dead_letters: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    telemetry::start(config.log.format, &config.log.level, config::environment("RUST_LOG"));
    match arguments.events {
        Some(events) => feed::run(&config, &events, arguments.dead_letters.as_deref()).await,
        None => daemon(config).await,
    }
}

async fn daemon(config: Config) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    let _reload = ignore_reload()?;
    let listener = engine::listen(&config).await?;
    let engine = Engine::start(&config, &stop)?;
    let link = Arc::new(BrokerHealth::new(&engine.metrics));
    let sources = engine.status_sources(&config.broker.replica, Some(link.clone()));
    let Engine { metrics, account_index, doors, mut lanes, .. } = engine;
    let addresses = config.broker.url.clone();
    let context = Context {
        names: Names::new(&config.broker.queue),
        replica: config.broker.replica.clone(),
        prefetch: config.broker.prefetch.get(),
        held_bytes: Arc::new(HeldBytes::new(config.broker.prefetch_bytes)),
        index: account_index,
        opener: config.broker.opener(),
        inlets: doors,
        metrics,
        health: link,
    };
    // Watched to the very end, so that a slow stop can be seen.
    let closed = CancellationToken::new();
    let _pages = engine::watch(listener, sources, &closed)?;
    tracing::info!(
        replica = config.broker.replica,
        accounts = config.accounts.len(),
        broker.queue = config.broker.queue,
        "freshet {}",
        env!("CARGO_PKG_VERSION")
    );
    let work = async {
        broker::run(addresses, context, stop.clone()).await;
        while lanes.join_next().await.is_some() {}
    };
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = after(&stop, config.delivery.shutdown_grace) => {
            tracing::warn!("delivery.shutdown_grace is over; what is not settled will be delivered again");
        }
    }
    closed.cancel();
    tracing::info!("stopped");
    Ok(())
}

async fn after(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// SIGHUP would end the process. Reading the file again while running is not built yet; saying so is kinder.
fn ignore_reload() -> Result<tokio::task::JoinSet<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!(
                "SIGHUP: the configuration is read at the start only; restart the replica instead"
            );
        }
    });
    Ok(tasks)
}
