//! What an account's configuration says to its scheduler.

use crate::config::{AccountConfig, RecordChoices};
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
    /// How deals are found, contacts linked, and tags written.
    pub records: RecordChoices,
    /// A question for people, added where nothing is found at the account's url.
    pub not_found_hint: Option<&'static str>,
}

impl SchedulerSettings {
    /// Those of an account.
    pub fn of(account: &AccountConfig, concurrency: usize, backoff: BackoffSettings) -> Self {
        Self {
            bulk_jobs: account.limits.bulk_jobs,
            invalid_value: account.mapping.invalid_value,
            records: account.records,
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
            records: RecordChoices::default(),
            not_found_hint: None,
        }
    }
}
