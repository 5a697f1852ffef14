//! Bulk jobs: where their status is, and what it says. The real form is not fully known, so nothing is guessed:
//! what cannot be understood is said to be unclear.

use std::time::Duration;

use serde_json::Value;

use super::answer::{collect, upstream_status};

/// A job that has not ended after this never will. Freshsales documents no limit; jobs of a hundred records take seconds.
pub const BULK_JOB_LIMIT: Duration = Duration::from_mins(10);

/// What a job's status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Ask again later.
    Running,
    /// It ended; these records failed, the others succeeded.
    Ended {
        /// Records that succeeded, as told.
        succeeded: u64,
        /// A row for each record that failed.
        failures: Vec<Failure>,
    },
    /// It ended, or says something unknown; what became of each record cannot be told.
    Unclear,
}

/// One record that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// Every name the row mentions, lower-cased: the record's identifier is one of them.
    pub names: Vec<String>,
    /// What is wrong with it.
    pub messages: Vec<String>,
    /// The status the row tells.
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

/// The id of the job that took a bulk call. Only the id is used: credentials go nowhere but to the account's own
/// address.
pub fn job_id(body: &Value) -> Option<String> {
    let url = body.get("job_status_url")?.as_str()?;
    let path = url.split(['?', '#']).next()?.trim_end_matches('/');
    let id = path.rsplit('/').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!id.is_empty() && id.len() <= 64 && id.bytes().all(plain)).then(|| id.to_owned())
}

/// Reads a job's status.
pub fn read_job(body: &Value) -> Job {
    let status = body.get("status").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    if RUNNING.contains(&status.as_str()) {
        return Job::Running;
    }
    if !ENDED.contains(&status.as_str()) {
        return Job::Unclear;
    }
    report(body).unwrap_or(Job::Unclear)
}

/// The report is JSON, mostly inside a string.
fn report(body: &Value) -> Option<Job> {
    let data = body.get("data")?;
    let data = match data.as_str() {
        Some(text) => serde_json::from_str(text).ok()?,
        None => data.clone(),
    };
    let counts = data.get("record_status")?;
    let count = |key: &str| counts.get(key).and_then(Value::as_u64);
    let (succeeded, failed) = (count("succeeded")?, count("failed")?);
    let rows = match data.get("detailed_failure_report") {
        Some(Value::Array(rows)) => rows.iter().map(failure).collect(),
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return None,
    };
    let rows: Vec<Failure> = rows;
    // What cannot be added up speaks of no call of ours.
    succeeded.checked_add(failed)?;
    (rows.len() as u64 == failed).then_some(Job::Ended { succeeded, failures: rows })
}

/// Keys under which a row says what is wrong, rather than with which record.
const MESSAGE_KEYS: &[&str] = &["message", "messages", "error", "errors", "reason", "description"];
const STATUS_KEYS: &[&str] = &["code", "status_code", "status"];

fn failure(row: &Value) -> Failure {
    let mut failure = Failure::default();
    names(row, &mut failure);
    // What is behind Freshsales failed, not the record.
    if let Some(status) = failure.messages.iter().find_map(|message| upstream_status(message)) {
        failure.status = Some(status);
    }
    failure
}

/// A status, as a number or as digits. One that is none of HTTP's is told all the same: it is not understood.
fn code(value: &Value) -> Option<u16> {
    let code = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(u16::try_from(code).unwrap_or(u16::MAX))
}

fn names(value: &Value, failure: &mut Failure) {
    match value {
        Value::String(text) => failure.names.push(text.to_lowercase()),
        Value::Number(number) => failure.names.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| names(item, failure)),
        Value::Object(entries) => {
            for (key, value) in entries {
                if MESSAGE_KEYS.contains(&key.as_str()) {
                    collect(value, &mut failure.messages);
                } else if STATUS_KEYS.contains(&key.as_str()) {
                    failure.status = code(value).or(failure.status);
                } else {
                    names(value, failure);
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
            Failure { names: vec!["a@x.com".into()], messages: vec!["Bad".into()], status: Some(400) };
        assert_eq!(
            read_job(&body("SUCCESS", 1, 1, json!([row]))),
            Job::Ended { succeeded: 1, failures: vec![failure] }
        );
        assert_eq!(
            read_job(&body("success", 2, 0, json!([]))),
            Job::Ended { succeeded: 2, failures: vec![] }
        );
        assert_eq!(read_job(&body("SUCCESS", 1, 1, json!([]))), Job::Unclear);
        assert_eq!(read_job(&body("SUCCESS", u64::MAX, 1, json!([row]))), Job::Unclear);
        assert_eq!(read_job(&body("FAILED", 0, 0, json!([]))), Job::Unclear);
        assert_eq!(read_job(&json!({ "status": "SUCCESS" })), Job::Unclear);
        assert_eq!(read_job(&json!({ "status": "SUCCESS", "data": "{" })), Job::Unclear);
        assert_eq!(read_job(&json!({ "status": "IN_PROGRESS" })), Job::Running);
        assert_eq!(read_job(&json!({ "status": "never heard of" })), Job::Unclear);
        assert_eq!(read_job(&json!([])), Job::Unclear);
    }

    proptest::proptest! {
        #[test]
        fn no_report_makes_it_panic(text in "\\PC{0,200}", data in "\\PC{0,200}") {
            read_job(&serde_json::from_str(&text).unwrap_or(Value::Null));
            read_job(&json!({ "status": "SUCCESS", "data": data }));
            job_id(&json!({ "job_status_url": text }));
        }
    }
}
