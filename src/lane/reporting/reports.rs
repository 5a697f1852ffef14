//! What a lane logs and counts about events that do not end with it: values left out, bulk upserts given up. Names fields
//! and words of a fixed list, never values or traits.

use crate::delivery::{AccountName, TraceId};
use crate::lane::contact::bulk::features::BulkFeature;
use crate::mapping::Omitted;
use crate::metrics::AccountMetrics;

pub(in crate::lane) struct Reports {
    account: AccountName,
    metrics: AccountMetrics,
}

impl Reports {
    pub(in crate::lane) fn new(account: AccountName, metrics: AccountMetrics) -> Self {
        Self { account, metrics }
    }

    pub(in crate::lane) fn ignored_traits(&self, traits: usize) {
        self.metrics.traits_ignored.inc_by(traits as u64);
    }

    pub(in crate::lane) fn merged_identifies(&self, identifies: u64) {
        self.metrics.coalesced.inc_by(identifies);
    }

    /// A record is written without a value.
    pub(in crate::lane) fn omitted_value(&self, omitted: &Omitted, trace_id: Option<TraceId>) {
        self.metrics.values_omitted.inc();
        tracing::warn!(
            account = &*self.account,
            entity = omitted.entity.singular(),
            field = omitted.field,
            reason = omitted.why,
            trace_id = trace_id.map(tracing::field::display),
            "a value was left out"
        );
    }

    /// An event's `userId` is a word such as `undefined`.
    pub(in crate::lane) fn placeholder_user_id(&self, word: &'static str, trace_id: Option<TraceId>) {
        tracing::warn!(
            account = &*self.account,
            word,
            trace_id = trace_id.map(tracing::field::display),
            "a userId names nobody and counts as absent; the sender has no user there"
        );
    }

    pub(in crate::lane) fn bulk_given_up(&self) {
        tracing::warn!(
            account = &*self.account,
            "reports of bulk upserts cannot be used; records go one by one for an hour"
        );
    }

    pub(in crate::lane) fn records_wait_for_bulk_jobs(&self) {
        tracing::info!(
            account = &*self.account,
            "too many bulk jobs of the account are running; records wait for one to end"
        );
    }

    pub(in crate::lane) fn records_go_one_by_one(&self) {
        tracing::warn!(
            account = &*self.account,
            "bulk upserts have been refused for two minutes; records go one by one until one is accepted"
        );
    }

    pub(in crate::lane) fn bulk_feature_works(&self, feature: BulkFeature) {
        self.metrics.bulk_feature.of(feature.as_str()).set(1);
    }

    pub(in crate::lane) fn bulk_feature_fails(&self, feature: BulkFeature) {
        self.metrics.bulk_feature.of(feature.as_str()).set(0);
        tracing::warn!(
            account = &*self.account,
            feature = feature.as_str(),
            costs = feature.cost(),
            "a bulk feature does not work for the account; it is tried again after a restart"
        );
    }

    pub(in crate::lane) fn deals_not_shown(&self) {
        tracing::warn!(
            account = &*self.account,
            "Freshsales does not show a contact's deals; a deal that this replica did not write before is created anew"
        );
    }
}
