//! What most tests of the scheduler use.

pub(super) use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
pub(super) use std::time::Duration;

pub(super) use tokio::time::Instant;

pub(super) use crate::config::{DealIdentity, Links, Tags};
use crate::freshsales::SalesAccountLink;
pub(super) use crate::freshsales::{BudgetKind, Call, RateLimit, UnavailableCause as Failure, Verdict};
pub(super) use crate::lane::budget::{Impediment, Quota};
use crate::lane::contact::bulk::policy::BulkPolicy;
use crate::lane::contact::cache::contacts::LearningTimes;
pub(super) use crate::lane::scheduler::unsettled::window::ContactKey;
pub(super) use crate::lane::scheduler::{Effect, Next, Scheduler, SchedulerSettings, WhileJobsRun};
pub(super) use crate::lane::timing::{BackoffSettings, TAKE_OVER_DELAY};
pub(super) use crate::mapping::Mapped;
pub(super) use crate::outcome::Outcome;
pub(super) use crate::schema::Entity;
use proptest::prelude::{Strategy, any};

/// What a model hands to `fastrand::seed`, so that a case waits as long each time it runs.
pub(super) fn seeds() -> impl Strategy<Value = u64> {
    any::<u64>().no_shrink()
}

impl<D> Scheduler<D> {
    /// The contact is in the cache.
    pub(super) fn knows(&mut self, email: &str, id: i64, links: &[SalesAccountLink], now: Instant) {
        let search_delay = self.settings.backoff.look_up_delay;
        self.records.learn_contact(email, id, Some(links), LearningTimes { now, search_delay });
    }

    /// The same account with other settings, before it has any work.
    pub(super) fn with(mut self, change: impl FnOnce(&mut SchedulerSettings)) -> Self {
        change(&mut self.settings);
        let backoff = self.settings.backoff;
        self.bulk = BulkPolicy::new(self.settings.bulk_jobs, backoff.jobs, backoff.look_up_delay);
        self
    }
}
