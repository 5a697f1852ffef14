//! What most tests of the scheduler use.

pub(super) use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
pub(super) use std::time::Duration;

pub(super) use tokio::time::Instant;

pub(super) use crate::config::{DealIdentity, Tags};
pub(super) use crate::freshsales::{BudgetKind, Call, RateLimit, UnavailableCause as Failure, Verdict};
pub(super) use crate::lane::budget::{Impediment, Quota};
use crate::lane::contact::bulk::policy::BulkPolicy;
pub(super) use crate::lane::scheduler::window::ContactKey;
pub(super) use crate::lane::scheduler::{Effect, Next, Scheduler, SchedulerSettings, WhileJobsRun};
pub(super) use crate::lane::timing::{BackoffSettings, TAKE_OVER_DELAY};
pub(super) use crate::mapping::Mapped;
pub(super) use crate::outcome::Outcome;
pub(super) use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// The same account with other settings, before it has any work.
    pub(super) fn with(mut self, change: impl FnOnce(&mut SchedulerSettings)) -> Self {
        change(&mut self.settings);
        self.bulk = BulkPolicy::new(self.settings.bulk_jobs, self.settings.backoff.jobs);
        self
    }
}
