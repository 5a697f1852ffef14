//! Counts for how long a lane's work waits only for quota.

use tokio::time::Instant;

use crate::lane::scheduler::Scheduler;
use crate::metrics::AccountMetrics;

#[derive(Debug, Default)]
pub(in crate::lane) struct QuotaWait {
    /// Work has stood ready since then.
    since: Option<Instant>,
}

impl QuotaWait {
    /// To be called at every turn, because a lane short of quota may wait without an end.
    pub(in crate::lane) fn count<D>(
        &mut self,
        scheduler: &Scheduler<D>,
        metrics: &AccountMetrics,
        now: Instant,
    ) {
        if let Some(since) = self.since.take() {
            metrics.quota_wait_seconds.inc_by(now.saturating_duration_since(since).as_secs_f64());
        }
        self.since = scheduler.starved().then_some(now);
    }
}
