//! What an account's configuration says to its scheduler.

use crate::config::{AccountConfig, DealIdentity, Links, Tags};
use crate::lane::timing::BackoffSettings;
use crate::mapping::InvalidValue;

/// The account's settings. The defaults are those of the configuration, except that any number of bulk jobs may run.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerSettings {
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Waits, and how long is tried.
    pub backoff: BackoffSettings,
    /// Bulk jobs of this program at once.
    pub bulk_jobs: usize,
    /// `Omit` also leaves out what the API key may not write.
    pub invalid_value: InvalidValue,
    /// How a deal is found.
    pub deal_identity: DealIdentity,
    /// How contacts are linked to their companies.
    pub links: Links,
    /// Whether an event's tags replace a record's, or are added to them.
    pub tags: Tags,
    /// A question for people, added where nothing is found at the account's url.
    pub not_found_hint: Option<&'static str>,
}

impl SchedulerSettings {
    /// Those of an account.
    pub fn of(account: &AccountConfig, concurrency: usize, backoff: BackoffSettings) -> Self {
        Self {
            bulk_jobs: account.limits.bulk_jobs,
            invalid_value: account.mapping.invalid_value,
            deal_identity: account.records.deal_identity,
            links: account.records.links,
            tags: account.records.tags,
            not_found_hint: account
                .access
                .url
                .may_lack_path()
                .then_some("is /crm/sales missing from its end?"),
            ..Self::new(concurrency, backoff)
        }
    }

    /// The defaults with this many requests in flight.
    pub fn new(concurrency: usize, backoff: BackoffSettings) -> Self {
        Self {
            concurrency,
            backoff,
            bulk_jobs: usize::MAX,
            invalid_value: InvalidValue::default(),
            deal_identity: DealIdentity::default(),
            links: Links::default(),
            tags: Tags::default(),
            not_found_hint: None,
        }
    }
}
