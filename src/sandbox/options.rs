//! What a sandbox is started with, and where real accounts differ. The defaults are here and nowhere else.
//!
//! Where the real answer is unknown, or accounts have been seen to give different ones, an enum names each of them. Knows
//! nothing of HTTP: `admin/options.rs` shows and changes these values while the sandbox runs.

use std::hash::Hasher;
use std::time::Duration;

use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::metadata::fields::FieldFiles;

/// What a sandbox is started with.
#[derive(Clone)]
pub struct Options {
    /// The account's field metadata.
    pub fields: FieldFiles,
    /// API calls allowed in each hour; `None` is the smallest plan's 1000. Tracking calls are not counted.
    pub requests_per_hour: Option<u32>,
    /// How long every API and tracking call waits before it is handled.
    pub latency: Duration,
    #[expect(missing_docs, reason = "described at its type")]
    pub admission: Admission,
    #[expect(missing_docs, reason = "described at its type")]
    pub jobs: JobOptions,
    #[expect(missing_docs, reason = "described at its type")]
    pub reads: ReadOptions,
    #[expect(missing_docs, reason = "described at its type")]
    pub writes: WriteOptions,
    #[expect(missing_docs, reason = "described at its type")]
    pub locale: Locale,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fields: FieldFiles::built_in(),
            requests_per_hour: None,
            latency: Duration::ZERO,
            admission: Admission::default(),
            jobs: JobOptions::default(),
            reads: ReadOptions::default(),
            writes: WriteOptions::default(),
            locale: Locale::default(),
        }
    }
}

/// Which requests are let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The only API key accepted; `None` accepts any that is not empty.
    pub api_key: Option<String>,
    /// The only web-tracking token accepted; `None` accepts any that is not empty.
    pub app_token: Option<String>,
    /// The longest request body accepted, in bytes; longer ones get 413.
    pub body_limit: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Self { api_key: None, app_token: None, body_limit: 4 * 1024 * 1024 }
    }
}

/// How bulk jobs run and what they report. Each takes a time of its own, which follows from how many came before.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// How long a job runs before it writes its records and has a report.
    pub shortest: Duration,
    /// The longest a job runs; all take the shortest time where this is no longer.
    pub longest: Duration,
    /// What a job's report holds.
    pub report: JobReport,
    /// The status of a job that has ended. Only `SUCCESS` is known; others may be in use.
    pub end_word: String,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            shortest: Duration::from_millis(300),
            longest: Duration::ZERO,
            report: JobReport::Rows,
            end_word: "SUCCESS".to_owned(),
        }
    }
}

/// What answers show.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// How long look-ups and searches do not see a write. Reads by id and upserts see it at once.
    pub search_delay: Duration,
    /// Whether filtered searches honour `?include=`.
    pub search_include: SearchInclude,
    /// What filtered searches make of their filter.
    pub search_filter: SearchFilter,
    /// Where an answer shows a contact's deals when the request asks for them.
    pub included_deals: IncludedDeals,
}

/// What writes change.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// What a `PUT` does with custom fields that it does not name.
    pub custom_fields_on_put: CustomFieldsOnPut,
    /// What a `PUT` with a list of `emails` does with addresses that the list does not name.
    pub emails_on_put: EmailsOnPut,
    /// Whether bulk upserts of contacts write `sales_accounts`.
    pub bulk_links: BulkLinks,
}

/// Where the account's people are.
#[derive(Debug, Clone)]
pub struct Locale {
    /// The language of error messages.
    pub language: Language,
    /// The account's time zone. A date sent with a time becomes the day it was in this zone.
    pub utc_offset: Offset,
}

impl Default for Locale {
    fn default() -> Self {
        Self { language: Language::English, utc_offset: Offset::UTC }
    }
}

impl JobOptions {
    /// How long the job runs before which so many have been started.
    pub(super) fn time_of(&self, earlier: u64) -> Duration {
        let mut hasher = SipHasher13::new();
        hasher.write_u64(earlier);
        let range = self.longest.saturating_sub(self.shortest).as_millis();
        let more = u128::from(hasher.finish()) % (range + 1);
        self.shortest + Duration::from_millis(u64::try_from(more).unwrap_or(u64::MAX))
    }
}

/// What a bulk job's report holds. The real form is not fully known, so both are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobReport {
    /// A row for each failed record, with its identifier and the error.
    Rows,
    /// Only how many records succeeded and failed.
    Counts,
}

/// What a `PUT` does with custom fields that it does not name. Accounts have been seen to do either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFieldsOnPut {
    /// They keep their values.
    #[default]
    Merge,
    /// They are cleared.
    Replace,
}

/// What a `PUT` with a list of `emails` does with the contact's addresses that the list does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailsOnPut {
    /// They stay.
    #[default]
    Merge,
    /// They are removed.
    Replace,
}

/// The language of error messages. In a real account it is that of the API key's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

/// Where an answer shows a contact's deals when the request has `?include=deals`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludedDeals {
    /// In the contact, under `deals`.
    #[default]
    Inside,
    /// Beside the contact, under `deals`; the contact has `deal_ids`.
    Beside,
    /// Nowhere: the account ignores the parameter.
    Absent,
}

/// Whether filtered searches honour `?include=`. It is not known of every account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchInclude {
    /// Rows have the related records.
    #[default]
    Honoured,
    /// Rows have the related records, but never deals.
    WithoutDeals,
    /// Rows are as without the parameter.
    Ignored,
}

/// What filtered searches make of their filter. It is not known of every account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchFilter {
    /// Every value counts.
    #[default]
    Honoured,
    /// A rule takes one value; a list of values matches nothing.
    OneValue,
    /// Only the first 25 values of a rule count.
    #[serde(rename = "first_25")]
    First25,
    /// All records match, oldest first.
    Ignored,
}

/// What bulk upserts of contacts do with `sales_accounts`. It is not known of every account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkLinks {
    /// They become the contact's links, as with a `PUT`.
    #[default]
    Kept,
    /// The contact keeps the links it has, without an error.
    Ignored,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_take_times_of_their_own_within_the_range_and_the_same_ones_each_time() {
        let [shortest, longest] = [1, 8].map(Duration::from_secs);
        let jobs = JobOptions { shortest, longest, ..JobOptions::default() };
        let times: Vec<Duration> = (0..1000).map(|job| jobs.time_of(job)).collect();
        assert!(times.iter().all(|time| (shortest..=longest).contains(time)));
        for second in 1..8 {
            let within = times.iter().filter(|time| time.as_secs() == second).count();
            assert!((100..200).contains(&within), "{within} of 1000 take {second} seconds and a part");
        }
        assert_eq!(times, (0..1000).map(|job| jobs.clone().time_of(job)).collect::<Vec<_>>());
        for longest in [Duration::ZERO, shortest] {
            let jobs = JobOptions { longest, ..jobs.clone() };
            assert!((0..100).all(|job| jobs.time_of(job) == shortest));
        }
    }
}
