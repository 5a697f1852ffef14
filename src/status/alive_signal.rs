//! Tells a supervisor, time and again, that the daemon is alive; for as long as `/livez` says so, and from the same thread.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// How, and how often.
#[derive(Debug, Clone, Copy)]
pub struct AliveSignal {
    /// Between two times.
    pub every: Duration,
    /// May block for a while.
    pub tell: fn(),
}

impl AliveSignal {
    /// Tells it while it is so. Never returns.
    pub(super) async fn give<A: Future<Output = bool>>(self, is_alive: impl Fn() -> A) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if is_alive().await {
                tokio::task::spawn_blocking(self.tell).await.ok();
            }
        }
    }
}
