//! How a lane is set up: what all lanes share, and the scheduler that an account's configuration asks for.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::AccountConfig;
use crate::lane::budget::Quota;
use crate::lane::scheduler::{Scheduler, SchedulerSettings};
use crate::lane::timing::BackoffSettings;
use crate::schema::Entity;

/// How a lane works, beyond what its account's configuration says.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The most events held unsettled.
    pub prefetch: usize,
    /// The most requests in flight.
    pub concurrency: usize,
    /// How long requests in flight may take to end once the lane stops.
    pub grace: Duration,
    /// How long to wait where no answer says it.
    pub backoff: BackoffSettings,
}

impl Settings {
    pub(in crate::lane) fn scheduler<D>(&self, account: &AccountConfig, now: Instant) -> Scheduler<D> {
        let (api, tracking) = quotas(account, now);
        Scheduler::new(self.of_scheduler(account), api, tracking)
    }

    pub(in crate::lane) fn change<D>(
        &self,
        scheduler: &mut Scheduler<D>,
        account: &AccountConfig,
        now: Instant,
    ) {
        scheduler.change(self.of_scheduler(account), quotas(account, now), now);
    }

    fn of_scheduler(&self, account: &AccountConfig) -> SchedulerSettings {
        SchedulerSettings::of(account, self.concurrency, self.backoff)
    }
}

/// That of the API, and that of the tracking endpoints.
fn quotas(account: &AccountConfig, now: Instant) -> (Quota, Quota) {
    let quota = |calls, period| Quota::new(calls, period, account.limits.quota_share, now);
    let api =
        quota(account.limits.requests_per_hour, Duration::from_hours(1)).with_reserve(Entity::ALL.len());
    (api, quota(account.limits.tracking_requests_per_minute, Duration::from_mins(1)))
}
