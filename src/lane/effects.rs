//! What the lane does with the scheduler's effects: settles events, hands on fields and selectors that were read, reports
//! the rest. Called by the runner after each answer.

use tokio::time::Instant;

use super::contact::refusal::is_refused_record;
use super::intake::Intake;
use super::reports::Reports;
use super::scheduler::{Effect, WhileJobsRun};
use super::settlement::{OpenDelivery, Settler};

/// Whom effects concern.
pub(super) struct Concerned<'a> {
    pub(super) intake: &'a mut Intake,
    pub(super) settler: &'a mut Settler,
    pub(super) reports: &'a mut Reports,
}

impl Concerned<'_> {
    pub(super) fn take(mut self, effects: Vec<Effect<OpenDelivery>>, now: Instant) {
        for effect in effects {
            self.take_one(effect, now);
        }
    }

    fn take_one(&mut self, effect: Effect<OpenDelivery>, now: Instant) {
        let Self { intake, settler, reports } = self;
        match effect {
            Effect::Settled { delivery, outcome, attempts } => {
                if is_refused_record(&outcome) {
                    intake.schema_mut().record_refused(now);
                }
                settler.finish(delivery, outcome, attempts);
            }
            Effect::BulkGivenUp => reports.bulk_given_up(),
            Effect::TooManyJobs(WhileJobsRun::Wait) => reports.records_wait_for_bulk_jobs(),
            Effect::TooManyJobs(WhileJobsRun::GoOneByOne) => reports.records_go_one_by_one(),
            Effect::Coalesced(number) => reports.merged_identifies(number),
            Effect::LeftOut(omitted) => reports.omitted_value(&omitted, None),
            Effect::DealsNotShown => reports.deals_not_shown(),
            Effect::Selector(selector, result) => {
                intake.schema_mut().take_selector(selector, &result, now);
            }
            Effect::Fields(entity, result) => intake.schema_mut().take_fields(entity, result, now),
        }
    }
}
