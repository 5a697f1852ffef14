//! What a sandbox is started with. The defaults are here and nowhere else.

use std::time::Duration;

use jiff::tz::Offset;

use super::habits::{CustomFieldsOnPut, EmailsOnPut, IncludedDeals, JobReport, Language, SearchInclude};
use crate::sandbox::metadata::fields::FieldFiles;

/// What a sandbox is started with.
#[derive(Clone)]
pub struct Options {
    /// The account's fields.
    pub fields: FieldFiles,
    /// API calls allowed in each hour; `None` is the smallest plan's 1000. Tracking calls are not counted.
    pub requests_per_hour: Option<u32>,
    /// How long every API and tracking call waits before it is looked at.
    pub latency: Duration,
    /// The only API key accepted; `None` accepts any that is not empty.
    pub api_key: Option<String>,
    /// The only web-tracking token accepted; `None` accepts any that is not empty.
    pub app_token: Option<String>,
    /// How long a bulk job runs before its effects and its report are there.
    pub job_time: Duration,
    /// How long look-ups and searches do not see what was written; reads by id and upserts see it at once.
    pub search_delay: Duration,
    /// How much a bulk job's report tells.
    pub job_report: JobReport,
    /// What a `PUT` does with the custom fields it does not name.
    pub custom_fields_on_put: CustomFieldsOnPut,
    /// What a `PUT` does with a contact's addresses that its list does not name.
    pub emails_on_put: EmailsOnPut,
    /// A job's status once it has ended. Others than `SUCCESS` may be in use; none is known.
    pub job_end_word: String,
    /// Where an answer shows a contact's deals that were asked for.
    pub included_deals: IncludedDeals,
    /// Whether filtered searches honour `?include=`.
    pub search_include: SearchInclude,
    /// The language of the messages in refusals.
    pub language: Language,
    /// The account's time zone: a date sent with a time becomes the day it was there.
    pub utc_offset: Offset,
    /// The longest body taken, in bytes; longer ones get 413.
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
