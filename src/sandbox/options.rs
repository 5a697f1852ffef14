//! What a sandbox is started with, and where real accounts differ. The defaults are here and nowhere else.
//!
//! Where the real answer is unknown, or accounts have been seen to give different ones, an enum names each of them. Knows
//! nothing of HTTP: `admin/options.rs` shows and changes these values while the sandbox runs.

use std::time::Duration;

use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

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
    /// The only API key accepted; `None` accepts any that is not empty.
    pub api_key: Option<String>,
    /// The only web-tracking token accepted; `None` accepts any that is not empty.
    pub app_token: Option<String>,
    /// How long a bulk job runs before it writes its records and has a report.
    pub job_time: Duration,
    /// How long look-ups and searches do not see a write. Reads by id and upserts see it at once.
    pub search_delay: Duration,
    /// What a bulk job's report holds.
    pub job_report: JobReport,
    /// What a `PUT` does with custom fields that it does not name.
    pub custom_fields_on_put: CustomFieldsOnPut,
    /// What a `PUT` with a list of `emails` does with addresses that the list does not name.
    pub emails_on_put: EmailsOnPut,
    /// The status of a job that has ended. Only `SUCCESS` is known; others may be in use.
    pub job_end_word: String,
    /// Where an answer shows a contact's deals when the request asks for them.
    pub included_deals: IncludedDeals,
    /// Whether filtered searches honour `?include=`.
    pub search_include: SearchInclude,
    /// The language of error messages.
    pub language: Language,
    /// The account's time zone. A date sent with a time becomes the day it was in this zone.
    pub utc_offset: Offset,
    /// The longest request body accepted, in bytes; longer ones get 413.
    pub body_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fields: FieldFiles::built_in(),
            requests_per_hour: None,
            latency: Duration::ZERO,
            api_key: None,
            app_token: None,
            job_time: Duration::from_millis(300),
            search_delay: Duration::ZERO,
            job_report: JobReport::Rows,
            custom_fields_on_put: CustomFieldsOnPut::Merge,
            emails_on_put: EmailsOnPut::Merge,
            job_end_word: "SUCCESS".to_owned(),
            included_deals: IncludedDeals::Inside,
            search_include: SearchInclude::Honoured,
            language: Language::English,
            utc_offset: Offset::UTC,
            body_limit: 4 * 1024 * 1024,
        }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFieldsOnPut {
    /// They keep their values.
    Merge,
    /// They are cleared.
    Replace,
}

/// What a `PUT` with a list of `emails` does with the contact's addresses that the list does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailsOnPut {
    /// They stay.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludedDeals {
    /// In the contact, under `deals`.
    Inside,
    /// Beside the contact, under `deals`; the contact has `deal_ids`.
    Beside,
    /// Nowhere: the account ignores the parameter.
    Absent,
}

/// Whether filtered searches honour `?include=`. It is not known of every account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchInclude {
    /// Rows have the related records.
    Honoured,
    /// Rows are as without the parameter.
    Ignored,
}
