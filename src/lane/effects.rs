//! What the lane does with the scheduler's effects: settles events, hands on fields and selectors that were read, reports
//! the rest. Called by the runner after each answer.

use tokio::time::Instant;

use super::contact::refused::refusal::is_refused_record;
use super::intake::Intake;
use super::reporting::reports::Reports;
use super::scheduler::{Effect, WhileJobsRun};
use super::settlement::{OpenDelivery, Settler};
use super::status::lane_status::LaneStatus;

pub(super) struct Concerned<'a> {
    pub(super) intake: &'a mut Intake,
    pub(super) settler: &'a mut Settler,
    pub(super) reports: &'a mut Reports,
    pub(super) status: &'a LaneStatus,
}

impl Concerned<'_> {
    pub(super) fn take(mut self, effects: Vec<Effect<OpenDelivery>>, now: Instant) {
        for effect in effects {
            self.take_one(effect, now);
        }
    }

    fn take_one(&mut self, effect: Effect<OpenDelivery>, now: Instant) {
        let Self { intake, settler, reports, status } = self;
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
            Effect::BulkFeature(feature, true) => {
                if status.note(|facts| facts.bulk_features.works(feature)) {
                    reports.bulk_feature_works(feature);
                }
            }
            Effect::BulkFeature(feature, false) => {
                if status.note(|facts| facts.bulk_features.fails(feature)) {
                    reports.bulk_feature_fails(feature);
                }
            }
            Effect::Selector(selector, result) => {
                intake.schema_mut().take_selector(selector, &result, now);
            }
            Effect::Fields(entity, result) => intake.schema_mut().take_fields(entity, result, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::super::contact::bulk::features::BulkFeature;
    use super::super::intake::judge::Accepts;
    use super::super::schema_refresh::SchemaRefresh;
    use super::*;
    use crate::mapping::MappingRules;
    use crate::metrics::Metrics;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_an_account_does_not_do_is_told_once_in_the_log_and_stays_in_metrics_and_facts() {
        let metrics = Metrics::new().unwrap();
        let of_account = metrics.account("acme");
        let status = Arc::new(LaneStatus::new("acme".into(), of_account.clone()));
        let schema = SchemaRefresh::new("acme".into(), MappingRules::default());
        let mut intake = Intake::new(Accepts { types: Vec::new(), can_track: false }, schema);
        let mut settler = Settler::new(status.clone(), of_account.clone());
        let mut reports = Reports::new("acme".into(), of_account);
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        let told = || metrics.render().unwrap().lines().filter(|line| line.contains("bulk_feature{")).count();
        assert_eq!(told(), 0, "what nobody knows has no series");
        tracing::subscriber::with_default(subscriber, || {
            for (feature, works) in [
                (BulkFeature::ContactSearch, true),
                (BulkFeature::LinksInBulk, false),
                (BulkFeature::LinksInBulk, false),
            ] {
                let (intake, settler, reports, status) = (&mut intake, &mut settler, &mut reports, &*status);
                let concerned = Concerned { intake, settler, reports, status };
                concerned.take(vec![Effect::BulkFeature(feature, works)], Instant::now());
            }
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        insta::assert_snapshot!(written, @r#" WARN a bulk feature does not work for the account; it is tried again after a restart account="acme" feature="links_in_bulk" costs="a contact whose link to its company is new goes alone: two calls, and two more for a deal""#);
        assert_eq!(told(), 2);
        assert_eq!(metrics.bulk_feature.with_label_values(&["acme", "contact_search"]).get(), 1);
        assert_eq!(metrics.bulk_feature.with_label_values(&["acme", "links_in_bulk"]).get(), 0);
        let known: Vec<_> = status.facts().bulk_features.known().collect();
        assert_eq!(known, [(BulkFeature::ContactSearch, true), (BulkFeature::LinksInBulk, false)]);
        metrics.remove_account("acme");
        assert_eq!(told(), 0);
    }
}
