//! An account's two budgets together.

use tokio::time::Instant;

use super::{Budget, Quota};
use crate::freshsales::BudgetKind;
use crate::lane::timing::BackoffSettings;

/// The budget of the API and that of the tracking endpoints.
#[derive(Debug)]
pub(in crate::lane) struct Budgets {
    api: Budget,
    tracking: Budget,
}

impl Budgets {
    pub(in crate::lane) fn new(api: Quota, tracking: Quota, backoff: BackoffSettings) -> Self {
        Self {
            api: Budget::new(BudgetKind::Api, api, backoff),
            tracking: Budget::new(BudgetKind::Tracking, tracking, backoff),
        }
    }

    pub(in crate::lane) fn of(&self, kind: BudgetKind) -> &Budget {
        match kind {
            BudgetKind::Api => &self.api,
            BudgetKind::Tracking => &self.tracking,
        }
    }

    pub(in crate::lane) fn of_mut(&mut self, kind: BudgetKind) -> &mut Budget {
        match kind {
            BudgetKind::Api => &mut self.api,
            BudgetKind::Tracking => &mut self.tracking,
        }
    }

    /// Requests that are not answered yet.
    pub(in crate::lane) fn in_flight(&self) -> usize {
        self.api.in_flight() + self.tracking.in_flight()
    }

    /// Adds this question to what people read where there is nothing at the account's url.
    pub(in crate::lane) fn set_not_found_hint(&mut self, hint: &'static str) {
        self.api.set_not_found_hint(hint);
        self.tracking.set_not_found_hint(hint);
    }

    /// The account has other limits and maybe other keys.
    pub(in crate::lane) fn change(&mut self, (api, tracking): (Quota, Quota), now: Instant) {
        self.api.change_quota(api, now);
        self.tracking.change_quota(tracking, now);
        self.api.end_unauthorized_wait(now);
        self.tracking.end_unauthorized_wait(now);
    }

    pub(in crate::lane) fn stay_away(&mut self, until: Instant, now: Instant) {
        self.api.stay_away(until, now);
        self.tracking.stay_away(until, now);
    }

    /// Everything was given back but the calls in flight.
    pub(in crate::lane) fn gave_back(&mut self) {
        self.api.gave_back();
        self.tracking.gave_back();
    }
}
