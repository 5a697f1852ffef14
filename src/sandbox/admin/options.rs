//! The options that `/_sandbox/options` shows and changes while the sandbox runs. A reset restores those it was
//! started with.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sandbox::options::{
    BulkLinks, CustomFieldsOnPut, EmailsOnPut, IncludedDeals, JobReport, Language, Options, SearchFilter,
    SearchInclude,
};

/// The body of `PUT /_sandbox/options`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionChanges {
    job_time_ms: Option<u64>,
    longest_job_time_ms: Option<u64>,
    search_delay_ms: Option<u64>,
    job_report: Option<JobReport>,
    custom_fields_on_put: Option<CustomFieldsOnPut>,
    emails_on_put: Option<EmailsOnPut>,
    job_end_word: Option<String>,
    included_deals: Option<IncludedDeals>,
    search_include: Option<SearchInclude>,
    search_filter: Option<SearchFilter>,
    bulk_links: Option<BulkLinks>,
    language: Option<Language>,
    api_key: Option<String>,
    app_token: Option<String>,
}

/// Changes the options that the body names. The error says what the body should look like.
pub(in crate::sandbox) fn change(options: &mut Options, body: &[u8]) -> Result<(), String> {
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
        r#"expected a JSON object of options, such as {"job_time_ms": 1000}; GET shows them all"#.to_owned()
    })?;
    let changes: OptionChanges =
        serde_path_to_error::deserialize(Value::Object(body)).map_err(|error| error.to_string())?;
    // Taken apart, so that the compiler reports an option that is read and not set.
    let OptionChanges {
        job_time_ms,
        longest_job_time_ms,
        search_delay_ms,
        job_report,
        custom_fields_on_put,
        emails_on_put,
        job_end_word,
        included_deals,
        search_include,
        search_filter,
        bulk_links,
        language,
        api_key,
        app_token,
    } = changes;
    set(&mut options.jobs.shortest, job_time_ms.map(Duration::from_millis));
    set(&mut options.jobs.longest, longest_job_time_ms.map(Duration::from_millis));
    set(&mut options.reads.search_delay, search_delay_ms.map(Duration::from_millis));
    set(&mut options.jobs.report, job_report);
    set(&mut options.writes.custom_fields_on_put, custom_fields_on_put);
    set(&mut options.writes.emails_on_put, emails_on_put);
    set(&mut options.jobs.end_word, job_end_word);
    set(&mut options.reads.included_deals, included_deals);
    set(&mut options.reads.search_include, search_include);
    set(&mut options.reads.search_filter, search_filter);
    set(&mut options.writes.bulk_links, bulk_links);
    set(&mut options.locale.language, language);
    set(&mut options.admission.api_key, api_key.map(Some));
    set(&mut options.admission.app_token, app_token.map(Some));
    Ok(())
}

/// The options that can be changed, with their present values, but for the secrets.
pub(in crate::sandbox) fn shown(options: &Options) -> Value {
    json!({
        "job_time_ms": millis(options.jobs.shortest),
        "longest_job_time_ms": millis(options.jobs.longest),
        "search_delay_ms": millis(options.reads.search_delay),
        "job_report": options.jobs.report,
        "custom_fields_on_put": options.writes.custom_fields_on_put,
        "emails_on_put": options.writes.emails_on_put,
        "job_end_word": options.jobs.end_word,
        "included_deals": options.reads.included_deals,
        "search_include": options.reads.search_include,
        "search_filter": options.reads.search_filter,
        "bulk_links": options.writes.bulk_links,
        "language": options.locale.language,
    })
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
