//! Starts the part that all sources of events share: a lane for each account, its watchdog and the status pages.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::running_lanes::{ConfiguredAccount, RunningLanes};
use crate::broker::{BrokerFacts, BrokerHealth};
use crate::cli::terminal::output::Failure;
use crate::config::{AccountConfig, Config, Environment};
use crate::fleet::{Survey, SurveySources};
use crate::freshsales::HttpTransport;
use crate::lane::{self, BackoffSettings, Settings};
use crate::metrics::Metrics;
use crate::status::{self, AdminAccess, Pages, StatusSources};

/// The version, and the commit that it was built from if the build knew it.
const BUILD: (&str, &str) = (env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"));

/// The running lanes.
pub(in crate::cli) struct Engine {
    pub(in crate::cli) metrics: Arc<Metrics>,
    pub(in crate::cli) lanes: RunningLanes,
    /// Reports lanes that are stuck, until the stop.
    watchdog: JoinSet<()>,
    stuck_after: Duration,
}

impl Engine {
    /// Starts a lane for every account, with secrets read from where the configuration says.
    pub(in crate::cli) fn start(
        config: &Config,
        environment: Environment<'_>,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        Self::start_with(config, environment, BackoffSettings::default(), stop)
    }

    /// The same with other waits.
    pub(in crate::cli) fn start_with(
        config: &Config,
        environment: Environment<'_>,
        backoff: BackoffSettings,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::new().map_err(Failure::failed)?);
        metrics.build_info.with_label_values(&[BUILD.0, BUILD.1]).set(1);
        let settings = Settings {
            prefetch: usize::from(config.broker.prefetch.get()),
            concurrency: config.delivery.concurrency,
            // The rest is for acknowledging the calls that end last.
            grace: config.delivery.shutdown_grace.mul_f64(0.8),
            backoff: BackoffSettings { give_up_after: config.delivery.give_up_after, ..backoff },
        };
        let transport = HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?;
        let mut lanes = RunningLanes::new(settings, transport, metrics.clone(), stop.clone());
        lanes.apply(configured(config, environment).map_err(Failure::Usage)?);
        let mut engine =
            Self { metrics, lanes, watchdog: JoinSet::new(), stuck_after: config.delivery.stuck_after };
        let (roster, stop) = (engine.lanes.roster(), stop.clone());
        let stuck_after = engine.stuck_after;
        engine.watchdog.spawn(async move {
            let watching = lane::watch(roster, stuck_after);
            stop.run_until_cancelled(watching).await;
        });
        Ok(engine)
    }

    pub(in crate::cli) fn status_sources(
        &self,
        replica: &str,
        broker: Option<(Arc<BrokerHealth>, Arc<BrokerFacts>)>,
    ) -> StatusSources {
        let started = Timestamp::now();
        let sources = SurveySources {
            metrics: self.metrics.clone(),
            lanes: self.lanes.roster(),
            stuck_after: self.stuck_after,
            broker: broker.clone(),
            build: BUILD,
        };
        let survey = Survey::new(replica, started, sources);
        StatusSources {
            fleet: Arc::new(survey),
            metrics: self.metrics.clone(),
            lanes: self.lanes.roster(),
            stuck_after: self.stuck_after,
            broker: broker.map(|(health, _)| health),
            letters: None,
            admin: AdminAccess::nobody(),
            alive_signal: None,
        }
    }
}

/// The accounts with their secrets as they are now; or which is missing, and why.
pub(in crate::cli) fn configured(
    config: &Config,
    environment: Environment<'_>,
) -> Result<Vec<ConfiguredAccount>, String> {
    config.accounts.iter().map(|account| with_secrets(account, environment)).collect()
}

/// An account with its secrets and certificates as they are now; or which is missing, and why.
pub(in crate::cli) fn with_secrets(
    account: &AccountConfig,
    environment: Environment<'_>,
) -> Result<ConfiguredAccount, String> {
    let secrets = account.access.read_secrets(environment);
    let secrets = secrets.map_err(|error| format!("account {}: {error}", account.name))?;
    let authorities = account.access.authorities();
    let authorities = authorities.map_err(|error| format!("account {}: ca_file: {error}", account.name))?;
    Ok(ConfiguredAccount { account: account.clone(), secrets, authorities })
}

pub(in crate::cli) async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(config.http.listen).await.map_err(|error| {
        Failure::Failed(format!("cannot listen on {}: {error}; set `http.listen`", config.http.listen))
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(http.listen = %address, "metrics, health and status page");
    }
    Ok(listener)
}

/// Serves the status pages until `stop`, or until the returned value is dropped.
pub(in crate::cli) fn serve_pages(
    listener: TcpListener,
    sources: StatusSources,
    stop: &CancellationToken,
) -> Result<Pages, Failure> {
    status::serve(listener, sources, stop)
        .map_err(|error| Failure::Failed(format!("cannot serve the status pages: {error}")))
}

/// Cancels `stop` at the first SIGTERM or SIGINT. The second ends the process at once.
pub(in crate::cli) fn stop_on_signals(stop: CancellationToken) -> Result<JoinSet<()>, Failure> {
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
