//! Notes for people what a lane has on hand and which calls are left, at the end of its turns. Called by the runner.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::intake::Intake;
use super::scheduler::Scheduler;
use super::settlement::{OpenDelivery, Settler};
use super::status::facts::FieldCounts;
use super::status::lane_status::LaneStatus;
use crate::freshsales::BudgetKind;
use crate::metrics::AccountMetrics;

/// Between two looks at the quota: each goes through the calls that were spent.
const QUOTA_LOOK: Duration = Duration::from_secs(1);

/// What a lane notes, and when it last did.
pub(super) struct Notes {
    status: Arc<LaneStatus>,
    metrics: AccountMetrics,
    looked_at: Option<Instant>,
    fields_read_at: Option<Instant>,
}

impl Notes {
    pub(super) fn new(status: Arc<LaneStatus>, metrics: AccountMetrics) -> Self {
        Self { status, metrics, looked_at: None, fields_read_at: None }
    }

    /// An event came.
    pub(super) fn received(&self) {
        self.metrics.begin();
        self.status.note(|facts| facts.last_received = Some(Timestamp::now()));
    }

    /// The lane waits for the next event, answer or time.
    pub(super) fn turn_ended(
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
        if self.looked_at.is_none_or(|last| now.saturating_duration_since(last) >= QUOTA_LOOK) {
            self.looked_at = Some(now);
            let api = scheduler.quota_facts(BudgetKind::Api, now);
            let tracking = scheduler.quota_facts(BudgetKind::Tracking, now);
            self.status.note(|facts| (facts.api, facts.tracking) = (Some(api), Some(tracking)));
        }
        let read = intake.schema().read();
        if let Some((read_at, counts)) = read
            && self.fields_read_at != Some(read_at)
        {
            self.fields_read_at = Some(read_at);
            let at = Timestamp::now();
            self.status.note(|facts| facts.fields = Some(FieldCounts { at, counts }));
        }
    }
}
