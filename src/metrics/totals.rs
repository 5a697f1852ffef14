//! Sums over series: of one account, as the status page shows them, and of all.

use std::collections::HashMap;

use prometheus::core::Collector as _;
use prometheus::proto::{Metric, MetricFamily};
use serde::Serialize;

use super::Metrics;

/// One account's totals, as the status page shows them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(missing_docs, reason = "each is described at the metric of the same name")]
pub struct Totals {
    pub in_flight: i64,
    pub delivered: u64,
    pub skipped: u64,
    pub dead_lettered: u64,
    pub quota_remaining: f64,
    pub quota_requests_per_hour: f64,
}

impl Metrics {
    /// Unsettled events of all accounts.
    pub fn in_flight(&self) -> u64 {
        let gauges = self.events_in_flight.collect();
        let events = gauges.iter().flat_map(MetricFamily::get_metric).map(whole).sum::<i64>();
        u64::try_from(events).unwrap_or_default()
    }

    /// Events of all accounts that were given back so far.
    pub fn returned(&self) -> u64 {
        let counters = self.events_returned.collect();
        counters.iter().flat_map(MetricFamily::get_metric).map(counted).sum()
    }

    /// Each account's sums. Reads every series once, however many accounts there are.
    pub fn totals(&self) -> HashMap<String, Totals> {
        self.sum_up().0
    }

    /// The totals, and how many series were read for them.
    fn sum_up(&self) -> (HashMap<String, Totals>, usize) {
        let mut all: HashMap<String, Totals> = HashMap::new();
        let mut read = 0;
        let mut add = |families: Vec<MetricFamily>, add: fn(&mut Totals, &Metric)| {
            for metric in families.iter().flat_map(MetricFamily::get_metric) {
                read += 1;
                let label = metric.get_label().iter().find(|label| label.name() == "account");
                if let Some(label) = label {
                    // `entry` would copy the name each time.
                    match all.get_mut(label.value()) {
                        Some(totals) => add(totals, metric),
                        None => add(all.entry(label.value().to_owned()).or_default(), metric),
                    }
                }
            }
        };
        add(self.events_delivered.collect(), |totals, metric| totals.delivered += counted(metric));
        add(self.events_skipped.collect(), |totals, metric| totals.skipped += counted(metric));
        add(self.events_dead_lettered.collect(), |totals, metric| totals.dead_lettered += counted(metric));
        add(self.events_in_flight.collect(), |totals, metric| totals.in_flight = whole(metric));
        add(self.quota_remaining.collect(), |totals, metric| {
            totals.quota_remaining = metric.get_gauge().get_value();
        });
        add(self.quota_requests_per_hour.collect(), |totals, metric| {
            totals.quota_requests_per_hour = metric.get_gauge().get_value();
        });
        (all, read)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of whole events")]
pub(super) fn counted(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "a gauge of whole events")]
fn whole(metric: &Metric) -> i64 {
    metric.get_gauge().get_value() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_cost_the_same_per_account_however_many_there_are() {
        let read = |accounts: usize| {
            let metrics = Metrics::new().expect("metrics");
            for number in 0..accounts {
                metrics.account(&format!("account-{number}")).events.delivered.of("track").inc();
            }
            let (totals, read) = metrics.sum_up();
            assert_eq!(totals.len(), accounts);
            assert!(totals.values().all(|totals| totals.delivered == 1));
            read
        };
        assert_eq!(read(500), 500 * read(1));
    }
}
