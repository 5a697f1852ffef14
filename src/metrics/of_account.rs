//! One account's metrics. A series exists from its first use on: of the accounts whose lanes other replicas work, a replica
//! shows almost nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Counter, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use crate::outcome::{DeadLetterReason, SkipReason};

impl Metrics {
    /// One account's metrics. None of its series exists yet.
    pub fn account(&self, name: &str) -> AccountMetrics {
        let account: Arc<str> = name.into();
        AccountMetrics {
            received: LabelledCounter { account: account.clone(), vec: self.events_received.clone() },
            delivered: LabelledCounter { account: account.clone(), vec: self.events_delivered.clone() },
            skipped: LabelledCounter { account: account.clone(), vec: self.events_skipped.clone() },
            dead_lettered: LabelledCounter {
                account: account.clone(),
                vec: self.events_dead_lettered.clone(),
            },
            returned: Series::new(&account, &self.events_returned),
            coalesced: Series::new(&account, &self.events_coalesced),
            traits_ignored: Series::new(&account, &self.traits_ignored),
            values_omitted: Series::new(&account, &self.values_omitted),
            in_flight: Series::new(&account, &self.events_in_flight),
            delivery_seconds: Series::new(&account, &self.delivery_seconds),
            quota_requests_per_hour: Series::new(&account, &self.quota_requests_per_hour),
            quota_remaining: Series::new(&account, &self.quota_remaining),
            quota_wait_seconds: Series::new(&account, &self.quota_wait_seconds),
            receipts_dropped: self.receipts_dropped.clone(),
            bulk_feature: LabelledGauge { account: account.clone(), vec: self.bulk_feature.clone() },
            lane_state: LabelledGauge { account: account.clone(), vec: self.lane_state.clone() },
            lane_stuck: Series::new(&account, &self.lane_stuck),
            lane_held: Series::new(&account, &self.lane_held),
            lane_oldest: Series::new(&account, &self.lane_oldest),
            last_delivery: Series::new(&account, &self.last_delivery),
            requests: RequestMetrics {
                account,
                count: self.api_requests.clone(),
                seconds: self.api_request_seconds.clone(),
                records: self.api_batch_records.clone(),
            },
            begun: Arc::new(Once::new()),
        }
    }
}

/// The metrics of one account. Clones share their series.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is described at the metric of the same name")]
pub struct AccountMetrics {
    pub received: LabelledCounter,
    pub delivered: LabelledCounter,
    pub skipped: LabelledCounter,
    pub dead_lettered: LabelledCounter,
    pub returned: Series<IntCounter>,
    pub coalesced: Series<IntCounter>,
    pub traits_ignored: Series<IntCounter>,
    pub values_omitted: Series<IntCounter>,
    pub in_flight: Series<IntGauge>,
    pub delivery_seconds: Series<Histogram>,
    pub quota_requests_per_hour: Series<Gauge>,
    pub quota_remaining: Series<Gauge>,
    pub quota_wait_seconds: Series<Counter>,
    pub receipts_dropped: IntCounter,
    pub bulk_feature: LabelledGauge,
    pub lane_state: LabelledGauge,
    pub lane_stuck: Series<IntGauge>,
    pub lane_held: Series<IntGauge>,
    pub lane_oldest: Series<Gauge>,
    pub last_delivery: Series<Gauge>,
    pub requests: RequestMetrics,
    begun: Arc<Once>,
}

impl AccountMetrics {
    /// Whether an event of the account ever came to this replica.
    pub fn has_begun(&self) -> bool {
        self.begun.is_completed()
    }

    /// An event of the account came to this replica: every series whose labels are known starts at 0, so that rates and
    /// alerts notice the first increase.
    pub fn begin(&self) {
        self.begun.call_once(|| {
            for reason in SkipReason::ALL {
                self.skipped.of(reason.as_str());
            }
            for reason in DeadLetterReason::ALL {
                self.dead_lettered.of(reason.as_str());
            }
            for counter in [&self.returned, &self.coalesced, &self.traits_ignored, &self.values_omitted] {
                counter.make();
            }
            self.in_flight.make();
            self.lane_stuck.make();
            self.delivery_seconds.make();
            self.quota_wait_seconds.make();
            self.quota_remaining.make();
            self.lane_held.make();
            self.lane_oldest.make();
        });
    }
}

/// One series, from its first use on.
pub struct Series<M> {
    made: Arc<OnceLock<M>>,
    make: Arc<dyn Fn() -> M + Send + Sync>,
}

impl<M> Series<M> {
    fn new<B>(account: &Arc<str>, vec: &MetricVec<B>) -> Self
    where
        B: MetricVecBuilder<M = M> + 'static,
        M: Send + Sync,
    {
        let (account, vec) = (account.clone(), vec.clone());
        Self { made: Arc::default(), make: Arc::new(move || vec.with_label_values(&[&*account])) }
    }

    fn make(&self) -> &M {
        self.made.get_or_init(|| (self.make)())
    }

    /// It, if it was used.
    pub fn made(&self) -> Option<&M> {
        self.made.get()
    }
}

impl<M> Deref for Series<M> {
    type Target = M;

    fn deref(&self) -> &M {
        self.make()
    }
}

impl<M> Clone for Series<M> {
    fn clone(&self) -> Self {
        Self { made: self.made.clone(), make: self.make.clone() }
    }
}

impl<M: fmt::Debug> fmt::Debug for Series<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.made.fmt(formatter)
    }
}

/// A counter of one account that has one more label.
#[derive(Debug, Clone)]
pub struct LabelledCounter {
    account: Arc<str>,
    vec: IntCounterVec,
}

impl LabelledCounter {
    /// The counter with this value of the label.
    pub fn of(&self, label: &str) -> IntCounter {
        self.vec.with_label_values(&[&*self.account, label])
    }
}

/// A gauge of one account that has one more label.
#[derive(Debug, Clone)]
pub struct LabelledGauge {
    account: Arc<str>,
    vec: IntGaugeVec,
}

impl LabelledGauge {
    /// The gauge with this value of the label.
    pub fn of(&self, label: &str) -> IntGauge {
        self.vec.with_label_values(&[&*self.account, label])
    }
}

/// The metrics of one account's calls.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    account: Arc<str>,
    count: IntCounterVec,
    seconds: HistogramVec,
    records: HistogramVec,
}

impl RequestMetrics {
    /// Counts a call that has ended.
    pub fn observe(&self, endpoint: &str, outcome: &str, elapsed: Duration, records: u32) {
        self.count.with_label_values(&[&*self.account, endpoint, outcome]).inc();
        self.seconds.with_label_values(&[endpoint]).observe(elapsed.as_secs_f64());
        self.records.with_label_values(&[endpoint]).observe(f64::from(records));
    }
}

#[cfg(test)]
mod tests {
    use crate::lane::LaneStatus;
    use crate::metrics::Metrics;

    const ACCOUNTS: usize = 500;

    /// Series of so many accounts, as a scrape brings them.
    fn series(metrics: &Metrics) -> usize {
        metrics.render().unwrap().lines().filter(|line| line.contains("account=\"account-")).count()
    }

    /// What docs/METRICS.md says of 500 accounts.
    #[test]
    fn an_account_whose_lane_is_elsewhere_costs_two_series() {
        let metrics = Metrics::new().unwrap();
        let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("account-{number}")).collect();
        let accounts: Vec<_> = names.iter().map(|name| metrics.account(name)).collect();
        assert_eq!(series(&metrics), 0, "nothing before the lanes");
        for (name, account) in names.iter().zip(&accounts) {
            account.quota_requests_per_hour.set(1800.0);
            LaneStatus::new(name.as_str().into(), account.clone());
        }
        assert_eq!(series(&metrics), ACCOUNTS * 2);
        // One identify of each was delivered.
        for account in &accounts {
            account.begin();
            account.begin();
            account.received.of("identify").inc();
            account.delivered.of("identify").inc();
            account.delivery_seconds.observe(1.0);
            account.last_delivery.set(1.0);
            account.lane_state.of("flowing").set(1);
            account.requests.observe("contact_fields", "ok", std::time::Duration::ZERO, 1);
            account.requests.observe("contact_upsert", "ok", std::time::Duration::ZERO, 1);
        }
        assert_eq!(series(&metrics), ACCOUNTS * 55);
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md")).unwrap();
        for said in
            ["| 500 lanes, none of them worked | 1,000 |", "| 500 lanes, all of them worked | 27,500 |"]
        {
            assert!(page.contains(said), "docs/METRICS.md does not say: {said}");
        }
    }

    #[test]
    fn a_series_is_shown_from_its_first_use_on_and_clones_share_it() {
        let metrics = Metrics::new().unwrap();
        let account = metrics.account("account-1");
        let other = account.clone();
        assert!(account.returned.made().is_none());
        other.returned.inc();
        assert_eq!(account.returned.made().unwrap().get(), 1);
        assert_eq!(series(&metrics), 1);
    }
}
