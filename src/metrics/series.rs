//! Ends series: an account that is configured no longer must not be shown as if it were.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricFamily;

/// Ends the series of one account.
pub(super) fn remove_series<B: MetricVecBuilder>(vec: &MetricVec<B>, account: &str)
where
    MetricVec<B>: Collector,
{
    for metric in vec.collect().iter().flat_map(MetricFamily::get_metric) {
        let labels: HashMap<&str, &str> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.get("account") == Some(&account) {
            // Fails only if somebody else removed it.
            vec.remove(&labels).ok();
        }
    }
}
