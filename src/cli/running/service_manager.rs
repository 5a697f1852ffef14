//! Tells systemd how the daemon is: ready, reading its configuration again, stopping, alive. Only where systemd
//! listens, which `$NOTIFY_SOCKET` says. The only user of `sd-notify`.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use crate::broker::BrokerHealth;
use crate::config;
use crate::status::AliveSignal;

/// A service manager that takes nothing must hold up nothing.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN_STATUSES: Duration = Duration::from_secs(2);

/// Says nothing if nobody listens.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct ServiceManager {
    listens: bool,
}

impl ServiceManager {
    pub(in crate::cli) fn of_environment() -> Self {
        Self { listens: config::environment("NOTIFY_SOCKET").is_some() }
    }

    /// The configuration is in use and the pages are served. It is not said later than that: a broker that is away for
    /// long is no reason to end the daemon.
    pub(in crate::cli) async fn ready(self) {
        self.tell(&[NotifyState::Ready]).await;
    }

    /// The configuration is being read again, until [`ServiceManager::ready`].
    pub(in crate::cli) async fn reloading(self) {
        // systemd asks for the time, to tell this from an answer to an earlier signal.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]).await;
        }
    }

    pub(in crate::cli) async fn stopping(self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping; calls in flight may end")]).await;
    }

    /// Says whenever it changes whether the broker is there. Never returns.
    pub(in crate::cli) async fn follow(self, health: Arc<BrokerHealth>) {
        if !self.listens {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(BETWEEN_STATUSES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            ticks.tick().await;
            let view = health.view();
            let now = if view.ready { "connected to the broker".to_owned() } else { view.why };
            if now != told {
                self.tell(&[NotifyState::Status(&now)]).await;
                told = now;
            }
        }
    }

    /// What systemd wants to hear while the daemon is alive, if it watches: twice in its time.
    pub(in crate::cli) fn alive_signal(self) -> Option<AliveSignal> {
        let within = sd_notify::watchdog_enabled().filter(|_| self.listens)?;
        let tell = || {
            if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                tracing::debug!(%error, "the service manager cannot be told");
            }
        };
        Some(AliveSignal { every: (within / 2).max(Duration::from_millis(1)), tell })
    }

    async fn tell(self, states: &[NotifyState<'_>]) {
        if !self.listens {
            return;
        }
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        let text = lines.join("\n");
        let telling = tokio::task::spawn_blocking(move || sd_notify::notify(&[NotifyState::Custom(&text)]));
        match tokio::time::timeout(PATIENCE, telling).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the service manager cannot be told"),
            Ok(Err(_)) | Err(_) => tracing::debug!("the service manager takes nothing"),
        }
    }
}
