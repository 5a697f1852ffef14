//! Where real accounts differ, or where the real answer is not known: each can be had both ways, also while the sandbox
//! runs. `PUT /_sandbox/options` changes what it names; a fresh start brings back what the sandbox was started with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::options::Options;

/// How much a bulk job's report tells. The real form is not fully known, so both are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobReport {
    /// A row for each failed record, with what identified it and why it failed.
    Rows,
    /// Only how many succeeded and failed.
    Counts,
}

/// What a `PUT` does with the custom fields it does not name. Accounts have been seen to do either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFieldsOnPut {
    /// They keep their values.
    Merge,
    /// They are wiped.
    Replace,
}

/// What a list of `emails` in a `PUT` does with the contact's addresses that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailsOnPut {
    /// They stay.
    Merge,
    /// They are removed.
    Replace,
}

/// The language of the messages in refusals: that of the key's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

/// Where an answer shows a contact's deals that were asked for by `?include=deals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludedDeals {
    /// In the contact, under `deals`.
    Inside,
    /// SideLoaded the contact, under `deals`; the contact has their `deal_ids`.
    Beside,
    /// Nowhere: the account does not honour it.
    Absent,
}

/// Whether filtered searches honour `?include=`. It is not known of every account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchInclude {
    /// Rows have what was asked for.
    Honoured,
    /// Rows are as without it.
    Ignored,
}

/// What `PUT /_sandbox/options` may name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionChanges {
    job_time_ms: Option<u64>,
    search_delay_ms: Option<u64>,
    job_report: Option<JobReport>,
    custom_fields_on_put: Option<CustomFieldsOnPut>,
    emails_on_put: Option<EmailsOnPut>,
    job_end_word: Option<String>,
    included_deals: Option<IncludedDeals>,
    search_include: Option<SearchInclude>,
    language: Option<Language>,
}

/// OptionChanges what the body names. The error says what would be right.
pub(super) fn change(options: &mut Options, body: &[u8]) -> Result<(), String> {
    let body: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
        r#"expected a JSON object of options, such as {"job_time_ms": 1000}; GET shows them all"#.to_owned()
    })?;
    let changes: OptionChanges =
        serde_path_to_error::deserialize(Value::Object(body)).map_err(|error| error.to_string())?;
    let OptionChanges {
        job_time_ms,
        search_delay_ms,
        job_report,
        custom_fields_on_put,
        emails_on_put,
        job_end_word,
        included_deals,
        search_include,
        language,
    } = changes;
    set(&mut options.search_delay, search_delay_ms.map(Duration::from_millis));
    set(&mut options.emails_on_put, emails_on_put);
    set(&mut options.job_end_word, job_end_word);
    set(&mut options.included_deals, included_deals);
    set(&mut options.search_include, search_include);
    set(&mut options.job_time, job_time_ms.map(Duration::from_millis));
    set(&mut options.job_report, job_report);
    set(&mut options.custom_fields_on_put, custom_fields_on_put);
    set(&mut options.language, language);
    Ok(())
}

/// What may be changed, as it is now.
pub(super) fn shown(options: &Options) -> Value {
    json!({
        "job_time_ms": millis(options.job_time),
        "search_delay_ms": millis(options.search_delay),
        "job_report": options.job_report,
        "custom_fields_on_put": options.custom_fields_on_put,
        "emails_on_put": options.emails_on_put,
        "job_end_word": options.job_end_word,
        "included_deals": options.included_deals,
        "search_include": options.search_include,
        "language": options.language,
    })
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
