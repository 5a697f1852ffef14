//! Every metric with its labels and help text. Other rooms only count; the status pages render them.
//!
//! There is no global registry, so that tests run side by side.

mod counts;
mod of_account;
mod process;
mod series;
mod totals;

use prometheus::{
    CounterVec, Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use counts::AccountCounts;
pub use of_account::{AccountMetrics, LabelledCounter, LabelledGauge, RequestMetrics, Series};
pub use process::resident_bytes;
use series::remove_series;
pub use totals::Totals;

/// Builds the struct, its constructor and its help texts from one list.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident : $kind:ident $(($buckets:expr))? = $name:literal [$($label:literal),*];)+) => {
        /// The daemon's metrics.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Registers every metric in a registry of its own.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(
                    let help = [$($help),+].concat();
                    let $field = metrics!(@make $kind $(($buckets))?, $name, help.trim(), [$($label),*])?;
                    registry.register(Box::new($field.clone()))?;
                )+
                // What a process is like is read from /proc.
                #[cfg(target_os = "linux")]
                registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
                Ok(Self { registry, $($field,)+ })
            }

            /// Ends all series of an account. Whoever counts for it afterwards begins them anew.
            pub fn remove_account(&self, name: &str) {
                $(metrics!(@remove $kind, self.$field, name);)+
            }
        }
    };
    (@remove IntGauge, $metric:expr, $account:expr) => {};
    (@remove IntCounter, $metric:expr, $account:expr) => {};
    (@remove Gauge, $metric:expr, $account:expr) => {};
    (@remove $kind:ident, $metric:expr, $account:expr) => { remove_series(&$metric, $account) };
    (@make HistogramVec ($buckets:expr), $name:literal, $help:expr, $labels:expr) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), &$labels)
    };
    (@make Gauge, $name:literal, $help:expr, $labels:expr) => { Gauge::new($name, $help) };
    (@make IntGauge, $name:literal, $help:expr, $labels:expr) => { IntGauge::new($name, $help) };
    (@make IntCounter, $name:literal, $help:expr, $labels:expr) => { IntCounter::new($name, $help) };
    (@make $kind:ident, $name:literal, $help:expr, $labels:expr) => { $kind::new(Opts::new($name, $help), &$labels) };
}

/// From an event that is delivered at once to a backlog of days.
const DELIVERY_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];
/// Up to the default request timeout.
const REQUEST_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Up to a full bulk call.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0];

metrics! {
    /// Events received from the queue, including redeliveries.
    events_received: IntCounterVec = "freshet_events_received_total" ["account", "type"];
    /// Events whose effect Freshsales confirmed.
    events_delivered: IntCounterVec = "freshet_events_delivered_total" ["account", "type"];
    /// Events acknowledged without an effect, by reason.
    events_skipped: IntCounterVec = "freshet_events_skipped_total" ["account", "reason"];
    /// Events published to the dead-letter queue, by reason.
    events_dead_lettered: IntCounterVec = "freshet_events_dead_lettered_total" ["account", "reason"];
    /// Events returned to the broker unsettled, because the connection was lost or the replica is stopping.
    events_returned: IntCounterVec = "freshet_events_returned_total" ["account"];
    /// Identifies merged with another one of the same contact.
    events_coalesced: IntCounterVec = "freshet_events_coalesced_total" ["account"];
    /// Traits without a field to write them to.
    traits_ignored: IntCounterVec = "freshet_traits_ignored_total" ["account"];
    /// Values left out because they do not fit their field.
    values_omitted: IntCounterVec = "freshet_values_omitted_total" ["account"];
    /// Events received and not yet settled.
    events_in_flight: IntGaugeVec = "freshet_events_in_flight" ["account"];
    /// Seconds from publishing to settlement.
    delivery_seconds: HistogramVec(DELIVERY_BUCKETS) = "freshet_delivery_seconds" ["account"];
    /// Calls to Freshsales by outcome.
    api_requests: IntCounterVec = "freshet_api_requests_total" ["account", "endpoint", "outcome"];
    /// Seconds until Freshsales answered.
    api_request_seconds: HistogramVec(REQUEST_BUCKETS) = "freshet_api_request_seconds" ["endpoint"];
    /// Records per call.
    api_batch_records: HistogramVec(BATCH_BUCKETS) = "freshet_api_batch_records" ["endpoint"];
    /// Calls an hour that this replica may make for the account.
    quota_requests_per_hour: GaugeVec = "freshet_quota_requests_per_hour" ["account"];
    /// Calls that could be made at once, when last checked.
    quota_remaining: GaugeVec = "freshet_quota_remaining" ["account"];
    /// Seconds in which work waited only for quota.
    quota_wait_seconds: CounterVec = "freshet_quota_wait_seconds_total" ["account"];
    /// 1 where a bulk feature works for the account, 0 where it does not; absent until answers have shown it.
    bulk_feature: IntGaugeVec = "freshet_bulk_feature" ["account", "feature"];
    /// 1 for the state that the account's lane is in.
    lane_state: IntGaugeVec = "freshet_lane_state" ["account", "state"];
    /// 1 while the account's lane is stuck: it has work, nothing stands in its way, and it has settled nothing for long.
    lane_stuck: IntGaugeVec = "freshet_lane_stuck" ["account"];
    /// When the oldest event on hand was queued, in seconds since 1970; 0 if there is none.
    lane_oldest: GaugeVec = "freshet_lane_oldest_timestamp_seconds" ["account"];
    /// When an event was last delivered, in seconds since 1970.
    last_delivery: GaugeVec = "freshet_last_delivery_timestamp_seconds" ["account"];
    /// Events that wait in the account's lane. Only on the replica that counts.
    lane_waiting: IntGaugeVec = "freshet_lane_waiting" ["account"];
    /// Events of the account's lane that this replica holds, unacknowledged.
    lane_held: IntGaugeVec = "freshet_lane_held" ["account"];
    /// Messages that wait on the intake. Only on the replica that counts.
    intake_waiting: IntGaugeVec = "freshet_intake_waiting" [];
    /// Messages of the intake that this replica holds, unacknowledged.
    intake_held: IntGauge = "freshet_intake_held" [];
    /// Dead letters that nobody has taken out. Only on the replica that counts.
    dead_letters_waiting: IntGaugeVec = "freshet_dead_letters_waiting" [];
    /// 1 while this replica moves events from the intake to the lanes.
    router_active: IntGauge = "freshet_router_active" [];
    /// Dead letters that this process has sent back.
    dead_letters_replayed: IntCounterVec = "freshet_dead_letters_replayed_total" ["account", "reason"];
    /// Dead letters that this process has removed.
    dead_letters_dropped: IntCounterVec = "freshet_dead_letters_dropped_total" ["account", "reason"];
    /// 1 while connected to the broker.
    broker_connected: IntGauge = "freshet_broker_connected" [];
    /// Connections made after the first.
    broker_reconnects: IntCounter = "freshet_broker_reconnects_total" [];
    /// 1 while connected to a broker that accepts no messages, by reason.
    broker_stalled: IntGaugeVec = "freshet_broker_stalled" ["reason"];
    /// 1 while another connection uses this replica's name.
    replica_name_taken: IntGauge = "freshet_replica_name_taken" [];
    /// Deliveries dropped without being settled; anything but 0 is a bug.
    receipts_dropped: IntCounter = "freshet_receipts_dropped_total" [];
    /// 1 if the configuration was applied when it was last read, 0 if it could not be used.
    config_last_reload_successful: IntGauge = "freshet_config_last_reload_successful" [];
    /// When a configuration was last applied.
    config_last_reload_success_timestamp: Gauge = "freshet_config_last_reload_success_timestamp_seconds" [];
    /// Always 1; its labels say which version runs.
    build_info: IntGaugeVec = "freshet_build_info" ["version", "revision"];
}

impl Metrics {
    /// The whole registry in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
