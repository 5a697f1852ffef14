//! Starts the part that all sources of events share: a lane for each account, its watchdog and the status pages.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::output::Failure;
use crate::broker::BrokerHealth;
use crate::config::{AccountConfig, AccountSecrets, Config, Environment};
use crate::delivery::LaneInlet;
use crate::freshsales::{Client, Credentials, HttpTransport};
use crate::lane::{self, BackoffSettings, Lane, LaneStatus, Settings};
use crate::metrics::Metrics;
use crate::routing::{AccountIndex, AccountKeys};
use crate::status::{self, Pages, StatusSources};

/// The running lanes.
pub(super) struct Engine {
    pub(super) metrics: Arc<Metrics>,
    pub(super) account_index: AccountIndex,
    pub(super) inlets: Vec<LaneInlet>,
    pub(super) statuses: Vec<Arc<LaneStatus>>,
    /// One task per lane, which ends when its inlet is dropped or on the stop.
    pub(super) lanes: JoinSet<()>,
    /// Reports lanes that are stuck, until the stop.
    watchdog: JoinSet<()>,
    stuck_after: Duration,
}

impl Engine {
    /// Starts a lane for every account, with secrets read from where the configuration says.
    pub(super) fn start(
        config: &Config,
        environment: Environment<'_>,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::new().map_err(Failure::failed)?);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision()]).set(1);
        let account_index = AccountIndex::new(&config.accounts.iter().map(keys).collect::<Vec<_>>());
        let settings = Settings {
            prefetch: usize::from(config.broker.prefetch.get()),
            concurrency: config.delivery.concurrency,
            // The rest is for acknowledging the calls that end last.
            grace: config.delivery.shutdown_grace.mul_f64(0.8),
            backoff: BackoffSettings {
                give_up_after: config.delivery.give_up_after,
                ..BackoffSettings::default()
            },
        };
        let transport = HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?;
        let mut engine = Self {
            metrics,
            account_index,
            inlets: Vec::new(),
            statuses: Vec::new(),
            lanes: JoinSet::new(),
            watchdog: JoinSet::new(),
            stuck_after: config.delivery.stuck_after,
        };
        for account in &config.accounts {
            let secrets = account.read_secrets(environment);
            let AccountSecrets { api_key, app_token } =
                secrets.map_err(|error| Failure::Usage(format!("account {}: {error}", account.name)))?;
            let credentials = Credentials { base_url: account.url.as_str().to_owned(), api_key, app_token };
            let client = Client::new(&transport, credentials);
            let metrics = engine.metrics.account(&account.name);
            let lane = Lane::new(account, client, metrics.clone(), settings);
            engine.statuses.push(lane.status());
            let (sessions_in, sessions) = mpsc::channel(1);
            engine.inlets.push(LaneInlet { account: account.name.clone(), sessions: sessions_in, metrics });
            engine.lanes.spawn(lane.run(sessions, stop.clone()));
        }
        let (statuses, stop) = (engine.statuses.clone(), stop.clone());
        let stuck_after = engine.stuck_after;
        engine.watchdog.spawn(async move {
            let watching = lane::watch(statuses, stuck_after);
            stop.run_until_cancelled(watching).await;
        });
        Ok(engine)
    }

    pub(super) fn status_sources(&self, replica: &str, broker: Option<Arc<BrokerHealth>>) -> StatusSources {
        StatusSources {
            metrics: self.metrics.clone(),
            lanes: self.statuses.clone(),
            stuck_after: self.stuck_after,
            broker,
            replica: replica.to_owned(),
            started: Timestamp::now(),
        }
    }
}

fn keys(account: &AccountConfig) -> AccountKeys {
    AccountKeys {
        name: account.name.clone(),
        write_keys: account.sources.write_keys.clone(),
        project_ids: account.sources.project_ids.clone(),
    }
}

/// The commit that it was built from, if the build was given it.
fn revision() -> &'static str {
    option_env!("FRESHET_REVISION").unwrap_or("unknown")
}

pub(super) async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(config.http.listen).await.map_err(|error| {
        Failure::Failed(format!("cannot listen on {}: {error}; set `http.listen`", config.http.listen))
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(http.listen = %address, "metrics, health and status page");
    }
    Ok(listener)
}

/// Serves the status pages until `stop`, or until the returned value is dropped.
pub(super) fn serve_pages(
    listener: TcpListener,
    sources: StatusSources,
    stop: &CancellationToken,
) -> Result<Pages, Failure> {
    status::serve(listener, sources, stop)
        .map_err(|error| Failure::Failed(format!("cannot serve the status pages: {error}")))
}

/// Cancels `stop` at the first SIGTERM or SIGINT. The second ends the process at once.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<JoinSet<()>, Failure> {
    let mut term = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stopping {
                // Loses nothing: unsettled events are delivered again.
                std::process::exit(1);
            }
            stopping = true;
            tracing::info!("stopping; calls in flight may end");
            stop.cancel();
        }
    });
    Ok(tasks)
}
