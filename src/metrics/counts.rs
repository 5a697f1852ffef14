//! What was counted of each account so far, for the history of the fleet. Reads every series once.

use std::collections::HashMap;

use prometheus::core::Collector as _;
use prometheus::proto::{LabelPair, Metric, MetricFamily};

use super::Metrics;
use super::totals::counted;
use crate::outcome::{DeadLetterReason, SkipReason};

/// What was counted of one account so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountCounts {
    /// Events received.
    pub received: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Events skipped, in the order of [`SkipReason::ALL`].
    pub skipped: [u64; SkipReason::ALL.len()],
    /// Events dead-lettered, in the order of [`DeadLetterReason::ALL`].
    pub dead_lettered: [u64; DeadLetterReason::ALL.len()],
    /// Events settled within each bound of [`Metrics::DELIVERY_BOUNDS`], and longer.
    pub buckets: Vec<u64>,
    /// Calls by endpoint and outcome.
    pub calls: Vec<(String, String, u64)>,
}

impl Metrics {
    /// The upper bounds of `freshet_delivery_seconds`.
    pub const DELIVERY_BOUNDS: &'static [f64] = super::DELIVERY_BUCKETS;

    /// What was counted so far, by account.
    pub fn counts(&self) -> HashMap<String, AccountCounts> {
        let mut all: HashMap<String, AccountCounts> = HashMap::new();
        let mut add = |families: Vec<MetricFamily>, add: &dyn Fn(&mut AccountCounts, &Metric)| {
            for metric in families.iter().flat_map(MetricFamily::get_metric) {
                let Some(account) = label(metric, "account") else { continue };
                match all.get_mut(account) {
                    Some(counts) => add(counts, metric),
                    None => add(all.entry(account.to_owned()).or_default(), metric),
                }
            }
        };
        add(self.events_received.collect(), &|counts, metric| counts.received += counted(metric));
        add(self.events_delivered.collect(), &|counts, metric| counts.delivered += counted(metric));
        add(self.events_skipped.collect(), &|counts, metric| {
            let reason = label(metric, "reason");
            for (reason_of, count) in SkipReason::ALL.iter().zip(&mut counts.skipped) {
                if Some(reason_of.as_str()) == reason {
                    *count += counted(metric);
                }
            }
        });
        add(self.events_dead_lettered.collect(), &|counts, metric| {
            let reason = label(metric, "reason");
            for (reason_of, count) in DeadLetterReason::ALL.iter().zip(&mut counts.dead_lettered) {
                if Some(reason_of.as_str()) == reason {
                    *count += counted(metric);
                }
            }
        });
        add(self.delivery_seconds.collect(), &|counts, metric| {
            let histogram = metric.get_histogram();
            let mut below = 0;
            counts.buckets.clear();
            // They come cumulated, and without the last one.
            for bucket in histogram.get_bucket() {
                counts.buckets.push(bucket.cumulative_count().saturating_sub(below));
                below = bucket.cumulative_count();
            }
            counts.buckets.push(histogram.get_sample_count().saturating_sub(below));
        });
        add(self.api_requests.collect(), &|counts, metric| {
            let word = |name| label(metric, name).unwrap_or_default().to_owned();
            let calls = counted(metric);
            // Each outcome of an endpoint has a series; most stay at 0.
            if calls > 0 {
                counts.calls.push((word("endpoint"), word("outcome"), calls));
            }
        });
        all
    }
}

fn label<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    metric.get_label().iter().find(|label| label.name() == name).map(LabelPair::value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_each_account_s_own() {
        let metrics = Metrics::new().unwrap();
        let (acme, globex) = (metrics.account("acme"), metrics.account("globex"));
        acme.begin();
        for event_type in ["identify", "track"] {
            acme.events.received.of(event_type).inc_by(3);
        }
        acme.events.delivered.of("track").inc();
        acme.events.skipped.of("duplicate").inc_by(2);
        acme.events.dead_lettered.of("missing_email").inc_by(4);
        for seconds in [0.01, 0.07, 0.08, 1e9] {
            acme.events.delivery_seconds.observe(seconds);
        }
        acme.requests.observe("contact_upsert", "ok", std::time::Duration::ZERO, 1);
        globex.events.received.of("page").inc();
        let counts = metrics.counts();
        assert_eq!(counts["globex"], AccountCounts { received: 1, ..AccountCounts::default() });
        let acme = &counts["acme"];
        assert_eq!((acme.received, acme.delivered), (6, 1));
        assert_eq!(acme.skipped.iter().sum::<u64>(), 2);
        assert_eq!(acme.skipped[SkipReason::ALL.len() - 1], 2);
        assert_eq!(acme.dead_lettered.iter().sum::<u64>(), 4);
        assert_eq!(acme.buckets.len(), Metrics::DELIVERY_BOUNDS.len() + 1);
        assert_eq!((acme.buckets[0], acme.buckets[1], *acme.buckets.last().unwrap()), (1, 2, 1));
        assert_eq!(acme.buckets.iter().sum::<u64>(), 4);
        assert_eq!(acme.calls, [("contact_upsert".to_owned(), "ok".to_owned(), 1)]);
    }
}
