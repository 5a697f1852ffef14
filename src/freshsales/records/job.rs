//! The status of bulk jobs. Its form is not fully documented, and a wrong guess would lose records: what is not understood
//! counts as unclear, and the lane then writes the records one by one. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::freshsales::answers::messages::{collect, upstream_status};
use crate::json;

/// A job that has not ended after this never will. Freshsales documents no limit; jobs of a hundred records take seconds.
pub const BULK_JOB_LIMIT: Duration = Duration::from_mins(10);

/// What became of a bulk job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    /// To be asked again later.
    Running {
        /// How far it is, in percent, if the answer says it.
        progress: Option<u8>,
    },
    /// It ended, and its report adds up.
    Ended {
        /// How many records succeeded.
        succeeded: u64,
        /// One for each record that failed.
        failures: Vec<FailedRow>,
    },
    /// It ended, or has an unknown status; which records succeeded is not known.
    Unclear,
}

/// A row of a job's report: one record that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedRow {
    /// Every text and number in the row, in lower case: the record's identifier is one of them.
    pub names: Vec<String>,
    /// Freshsales' messages.
    pub messages: Vec<String>,
    /// The HTTP status in the row.
    pub status: Option<u16>,
}

const RUNNING: &[&str] = &[
    "in_progress",
    "in progress",
    "inprogress",
    "queued",
    "pending",
    "processing",
    "running",
    "started",
    "initiated",
];
const ENDED: &[&str] =
    &["success", "succeeded", "completed", "complete", "done", "finished", "partial_success"];

/// The id of the job that took a bulk call. The rest of its URL is not used, or credentials could go to another host.
pub fn job_id(body: &Value) -> Option<String> {
    let url = body.get("job_status_url")?.as_str()?;
    let path = url.split(['?', '#']).next()?.trim_end_matches('/');
    let id = path.rsplit('/').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!id.is_empty() && id.len() <= 64 && id.bytes().all(plain)).then(|| id.to_owned())
}

/// Reads a job's status.
pub fn read_job_status(body: &Value) -> JobStatus {
    let status = body.get("status").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let progress = body.get("progress").and_then(percent);
    // Not all words are known: a job whose progress is 100 has ended, whatever the word.
    if ENDED.contains(&status.as_str()) || progress == Some(100) {
        return report(body).unwrap_or(JobStatus::Unclear);
    }
    if RUNNING.contains(&status.as_str()) { JobStatus::Running { progress } } else { JobStatus::Unclear }
}

fn percent(progress: &Value) -> Option<u8> {
    let number = progress.as_f64().or_else(|| progress.as_str()?.trim().parse().ok())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    (0.0..=100.0).contains(&number).then_some(number as u8)
}

/// Reads the report, which is mostly JSON inside a string.
fn report(body: &Value) -> Option<JobStatus> {
    let data = body.get("data")?;
    let data = match data.as_str() {
        Some(text) => json::parse(text.as_bytes()).ok()?,
        None => data.clone(),
    };
    let counts = data.get("record_status")?;
    let count = |key: &str| counts.get(key).and_then(Value::as_u64);
    let (succeeded, failed) = (count("succeeded")?, count("failed")?);
    let rows = match data.get("detailed_failure_report") {
        Some(Value::Array(rows)) => rows.iter().map(failed_row).collect(),
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return None,
    };
    let rows: Vec<FailedRow> = rows;
    // The lane adds them up.
    succeeded.checked_add(failed)?;
    (rows.len() as u64 == failed).then_some(JobStatus::Ended { succeeded, failures: rows })
}

/// Keys of a row that hold messages, not the record's identifiers.
const MESSAGE_KEYS: &[&str] = &["message", "messages", "error", "errors", "reason", "description"];
const STATUS_KEYS: &[&str] = &["code", "status_code", "status"];

fn failed_row(row: &Value) -> FailedRow {
    let mut failure = FailedRow::default();
    read_row(row, &mut failure);
    // A service behind Freshsales failed, not the record.
    if let Some(status) = failure.messages.iter().find_map(|message| upstream_status(message)) {
        failure.status = Some(status);
    }
    failure
}

/// A status, as a number or as digits. One above 65535 becomes one that means nothing, rather than none.
fn code(value: &Value) -> Option<u16> {
    let code = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(u16::try_from(code).unwrap_or(u16::MAX))
}

fn read_row(value: &Value, failure: &mut FailedRow) {
    match value {
        Value::String(text) => failure.names.push(text.to_lowercase()),
        Value::Number(number) => failure.names.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| read_row(item, failure)),
        Value::Object(entries) => {
            for (key, value) in entries {
                if MESSAGE_KEYS.contains(&key.as_str()) {
                    collect(value, &mut failure.messages);
                } else if STATUS_KEYS.contains(&key.as_str()) {
                    failure.status = code(value).or(failure.status);
                } else {
                    read_row(value, failure);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_id_of_a_job_s_address_is_used() {
        for (url, expected) in [
            ("https://acme.myfreshworks.com/crm/sales/api/job_statuses/42", Some("42")),
            ("https://elsewhere.example.com/steal/42/", Some("42")),
            ("/api/job_statuses/a-1_b?x=y", Some("a-1_b")),
            ("", None),
            ("https://acme/api/job_statuses/..%2f", None),
        ] {
            assert_eq!(job_id(&json!({ "job_status_url": url })).as_deref(), expected, "{url}");
        }
        assert_eq!(job_id(&json!({ "message": "taken" })), None);
    }

    #[test]
    fn a_report_is_believed_only_when_it_adds_up() {
        let row = json!({ "record": { "emails": "A@x.com" }, "code": 400, "message": ["Bad"] });
        let body = |status: &str, succeeded: u64, failed: u64, rows: Value| {
            let data = json!({
                "record_status": { "succeeded": succeeded, "failed": failed }, "detailed_failure_report": rows
            });
            json!({ "status": status, "data": data.to_string() })
        };
        let failure =
            FailedRow { names: vec!["a@x.com".into()], messages: vec!["Bad".into()], status: Some(400) };
        assert_eq!(
            read_job_status(&body("SUCCESS", 1, 1, json!([row]))),
            JobStatus::Ended { succeeded: 1, failures: vec![failure] }
        );
        assert_eq!(
            read_job_status(&body("success", 2, 0, json!([]))),
            JobStatus::Ended { succeeded: 2, failures: vec![] }
        );
        assert_eq!(read_job_status(&body("SUCCESS", 1, 1, json!([]))), JobStatus::Unclear);
        assert_eq!(read_job_status(&body("SUCCESS", u64::MAX, 1, json!([row]))), JobStatus::Unclear);
        assert_eq!(read_job_status(&body("FAILED", 0, 0, json!([]))), JobStatus::Unclear);
        assert_eq!(read_job_status(&json!({ "status": "SUCCESS" })), JobStatus::Unclear);
        assert_eq!(read_job_status(&json!({ "status": "SUCCESS", "data": "{" })), JobStatus::Unclear);
        assert_eq!(
            read_job_status(&json!({ "status": "IN_PROGRESS" })),
            JobStatus::Running { progress: None }
        );
        for (progress, expected) in [
            (json!(40), Some(40)),
            (json!("99.9"), Some(99)),
            (json!(-1), None),
            (json!(1e300), None),
            (json!({}), None),
        ] {
            let body = json!({ "status": "IN_PROGRESS", "progress": progress });
            assert_eq!(read_job_status(&body), JobStatus::Running { progress: expected });
        }
        let mut ended = body("never heard of", 1, 0, json!([]));
        assert_eq!(read_job_status(&ended), JobStatus::Unclear);
        ended["progress"] = json!(100);
        assert_eq!(read_job_status(&ended), JobStatus::Ended { succeeded: 1, failures: vec![] });
        assert_eq!(read_job_status(&json!({ "status": "never heard of" })), JobStatus::Unclear);
        assert_eq!(read_job_status(&json!([])), JobStatus::Unclear);
        let private = json!({ "$serde_json::private::RawValue": "[" });
        let failure = FailedRow { names: vec!["[".into()], messages: vec![], status: None };
        assert_eq!(
            read_job_status(&body("SUCCESS", 1, 1, json!([private]))),
            JobStatus::Ended { succeeded: 1, failures: vec![failure] }
        );
    }

    proptest::proptest! {
        #[test]
        fn no_report_makes_it_panic(text in "\\PC{0,200}", data in "\\PC{0,200}") {
            read_job_status(&serde_json::from_str(&text).unwrap_or(Value::Null));
            read_job_status(&json!({ "status": "SUCCESS", "data": data }));
            job_id(&json!({ "job_status_url": text }));
        }
    }
}
