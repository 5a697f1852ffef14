//! Notes for people what a lane has on hand and which calls are left, at the end of its turns. Called by the runner.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::AccountConfig;
use crate::freshsales::BudgetKind;
use crate::lane::intake::Intake;
use crate::lane::scheduler::Scheduler;
use crate::lane::settlement::{OpenDelivery, Settler};
use crate::lane::setup::applied::AppliedSettings;
use crate::lane::status::facts::FieldCounts;
use crate::lane::status::lane_status::LaneStatus;
use crate::metrics::AccountMetrics;

/// A lane that does nothing else looks so often whether calls have come back.
const QUOTA_LOOK: Duration = Duration::from_mins(1);

/// What a lane notes, and when it last did.
pub(in crate::lane) struct Notes {
    status: Arc<LaneStatus>,
    metrics: AccountMetrics,
    /// When to look again, while calls are out that come back.
    next_look: Option<Instant>,
    fields_read_at: Option<Instant>,
}

impl Notes {
    pub(in crate::lane) fn new(
        account: &AccountConfig,
        status: Arc<LaneStatus>,
        metrics: AccountMetrics,
    ) -> Self {
        let notes = Self { status, metrics, next_look: None, fields_read_at: None };
        notes.applied(account);
        notes
    }

    /// The account's settings are these from now on.
    pub(in crate::lane) fn applied(&self, account: &AccountConfig) {
        self.metrics.quota.requests_per_hour.set(account.limits.requests_per_hour);
        let settings = Arc::new(AppliedSettings::of(account));
        self.status.note(|facts| facts.settings = Some(settings));
    }

    pub(in crate::lane) fn received(&self) {
        self.metrics.begin();
        self.status.note(|facts| facts.deliveries.last_received = Some(Timestamp::now()));
    }

    /// When the lane must have a turn, so that what is noted stays true.
    pub(in crate::lane) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// The lane waits for the next event, answer or time.
    pub(in crate::lane) fn turn_ended(
        &mut self,
        unsettled: usize,
        scheduler: &Scheduler<OpenDelivery>,
        intake: &Intake,
        settler: &Settler,
    ) {
        if !self.metrics.has_begun() {
            return;
        }
        let now = Instant::now();
        let oldest = [settler.oldest(), intake.oldest()].into_iter().flatten().min();
        self.status.note_on_hand(unsettled, oldest);
        let api = scheduler.quota_facts(BudgetKind::Api, now);
        let tracking = scheduler.quota_facts(BudgetKind::Tracking, now);
        let all_back = [&api, &tracking].into_iter().all(|quota| quota.left == quota.at_once);
        let next = [api.next, tracking.next].into_iter().flatten().filter(|next| *next > now);
        self.next_look = (!all_back).then(|| next.chain([now + QUOTA_LOOK]).min()).flatten();
        self.metrics.quota.remaining.set(u32::try_from(api.left).map_or(f64::MAX, f64::from));
        self.status.note(|facts| (facts.quotas.api, facts.quotas.tracking) = (Some(api), Some(tracking)));
        if let Some(reading) = intake.schema().read()
            && self.fields_read_at != Some(reading.at)
        {
            self.fields_read_at = Some(reading.at);
            let at = Timestamp::now();
            self.status.note(|facts| {
                facts.schema.counts = Some(FieldCounts { at, counts: reading.counts });
                facts.fields_changed(at, &reading.changed);
            });
        }
    }
}
