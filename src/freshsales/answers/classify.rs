//! Decides what an answer means. Pure, and the only place that does.

use std::time::Duration;

use serde_json::Value;

use super::answer::{Answer, Body, NoAnswer};
use super::messages::{messages, upstream_status};
use super::verdict::{UnavailableCause, UnrecognizedAnswer, Verdict};
use crate::freshsales::endpoint::{BudgetKind, Endpoint, ExpectedBody};
use crate::freshsales::records::contact::is_look_up;
use crate::freshsales::records::record::record_id;

/// Decides what an answer means.
///
/// Only the API's own JSON about the record refuses a record. Everything that is not understood is tried again: a needless
/// retry costs time, a wrong refusal costs an event.
pub fn classify(endpoint: Endpoint, answer: Result<Answer, NoAnswer>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Timeout) => return unavailable(UnavailableCause::Timeout, None),
        Err(NoAnswer::Connection) => return unavailable(UnavailableCause::Connection, None),
    };
    let status = match status_in_body(endpoint, &answer) {
        BodyStatus::None => answer.status,
        BodyStatus::Status(status) => status,
        BodyStatus::Failure => return unrecognized(&answer),
    };
    match status {
        200..=299 => good(endpoint, answer),
        401 | 402 => Verdict::Unauthorized { status },
        429 => Verdict::Throttled { retry_after: answer.retry_after },
        408 | 500..=599 => unavailable(UnavailableCause::ServerError(status), answer.retry_after),
        425 => unavailable(UnavailableCause::UnexpectedStatus(status), answer.retry_after),
        400..=499 => client_error(endpoint, status, &answer),
        _ => unrecognized(&answer),
    }
}

/// A 4xx that is not about the credentials, the server or the rate.
fn client_error(endpoint: Endpoint, status: u16, answer: &Answer) -> Verdict {
    let Some(messages) = messages(status, &answer.body) else { return unrecognized(answer) };
    match status {
        405 if matches!(endpoint, Endpoint::BulkUpsert(_)) => Verdict::TooManyJobs,
        405 => unavailable(UnavailableCause::UnexpectedStatus(status), answer.retry_after),
        // Without an id the path is missing: the account's, or that of this part of the API.
        404 | 410 if !endpoint.has_record_id() => Verdict::Denied { status, messages },
        status if is_about_record(status) => Verdict::Refused { status, messages },
        _ => Verdict::Denied { status, messages },
    }
}

/// Whether a status is about the record, not about the server, the credentials or the rate.
pub const fn is_about_record(status: u16) -> bool {
    matches!(status, 400 | 404 | 409 | 410 | 413 | 414 | 422 | 431)
}

fn unavailable(cause: UnavailableCause, retry_after: Option<Duration>) -> Verdict {
    Verdict::Unavailable { cause, retry_after }
}

fn unrecognized(answer: &Answer) -> Verdict {
    Verdict::Unrecognized(UnrecognizedAnswer::new(answer.status, &answer.body))
}

fn good(endpoint: Endpoint, answer: Answer) -> Verdict {
    let unexpected = UnavailableCause::UnexpectedBody(answer.status);
    let body = match answer.body {
        Body::Json(body) | Body::Mislabelled(body) => body,
        // Counting a sign-in or maintenance page with status 200 as success would lose an activity.
        Body::Markup => return unrecognized(&answer),
        Body::Empty => match endpoint.expected_body() {
            ExpectedBody::Anything => Value::Null,
            ExpectedBody::Key(_) | ExpectedBody::LookUp | ExpectedBody::Record(_) => {
                return unrecognized(&answer);
            }
        },
        // What the tracking endpoints answer is not documented; "OK" would be plausible.
        Body::Unreadable => Value::Null,
        // An activity would be tried for days, and might take effect each time.
        Body::TooLarge if endpoint.budget() == BudgetKind::Tracking => return unrecognized(&answer),
        Body::TooLarge => return unavailable(unexpected, answer.retry_after),
    };
    let as_expected = match endpoint.expected_body() {
        ExpectedBody::Anything => true,
        ExpectedBody::Key(key) => body.get(key).is_some(),
        ExpectedBody::LookUp => is_look_up(&body),
        ExpectedBody::Record(key) => record_id(&body, key).is_some(),
    };
    if as_expected { Verdict::Done(body) } else { unavailable(unexpected, answer.retry_after) }
}

/// What a body says about success, where that counts more than the HTTP status.
enum BodyStatus {
    None,
    Status(u16),
    /// It failed, without a status that says why.
    Failure,
}

fn status_in_body(endpoint: Endpoint, answer: &Answer) -> BodyStatus {
    let (Body::Json(body) | Body::Mislabelled(body)) = &answer.body else { return BodyStatus::None };
    match answer.status {
        // An error may come with a 200; then its own code counts.
        200..=299 => match error_code(body) {
            Some(code) => BodyStatus::Status(code),
            None if says_failure(endpoint, body) => BodyStatus::Failure,
            None => BodyStatus::None,
        },
        // Failures of services behind Freshsales come as 400 too, with their own status in the code or in a message.
        400 => error_code(body)
            .into_iter()
            .chain(
                messages(400, &answer.body).iter().flatten().filter_map(|message| upstream_status(message)),
            )
            .find(|status| matches!(status, 408 | 429 | 500..=599))
            .map_or(BodyStatus::None, BodyStatus::Status),
        _ => BodyStatus::None,
    }
}

/// Whether a body with a good status and without a code says that the call failed.
fn says_failure(endpoint: Endpoint, body: &Value) -> bool {
    if body.get("errors").is_some_and(means_yes) {
        return true;
    }
    match endpoint {
        Endpoint::TrackEvent | Endpoint::TrackPageView => {
            body.as_array().map_or_else(|| tracking_failed(body), |items| items.iter().any(tracking_failed))
        }
        // A job's `status` is the job's own, and the others must hold a record or a key to count as done.
        Endpoint::Fields(_)
        | Endpoint::Selector(_)
        | Endpoint::Upsert(_)
        | Endpoint::BulkUpsert(_)
        | Endpoint::JobStatus
        | Endpoint::ContactRead
        | Endpoint::ContactUpdate
        | Endpoint::SalesAccountRead
        | Endpoint::SalesAccountUpdate
        | Endpoint::DealRead
        | Endpoint::DealCreate
        | Endpoint::DealUpdate
        | Endpoint::Lookup
        | Endpoint::Search(_) => false,
    }
}

/// The status inside an error body: `{"errors":{"code":400,...}}` or `{"code":400,"message":...}`.
fn error_code(body: &Value) -> Option<u16> {
    let errors = body.get("errors").filter(|errors| !errors.is_null());
    if errors.is_none() && body.get("message").is_none() {
        return None;
    }
    let code = errors.and_then(|errors| errors.get("code")).or_else(|| body.get("code"));
    let code = code.and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok())?;
    (400..=599).contains(&code).then_some(code)
}

/// What the tracking endpoints answer is not documented. An answer that is taken for a failure is tried again; one that is not
/// counts as taken effect, and the activity is gone if it had none.
fn tracking_failed(body: &Value) -> bool {
    const FAILED: [&str; 9] = [
        "error",
        "fail",
        "failed",
        "failure",
        "unauthorized",
        "unauthenticated",
        "forbidden",
        "denied",
        "invalid",
    ];
    let failed_word = |value: &Value| {
        value.as_str().is_some_and(|text| FAILED.contains(&text.trim().to_lowercase().as_str()))
    };
    let failed_code = |value: &Value| {
        let code = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        code.is_some_and(|code| (400..=599).contains(&code))
    };
    let any = |keys: &[&str], tells: &dyn Fn(&Value) -> bool| {
        keys.iter().any(|key| body.get(key).is_some_and(tells))
    };
    failed_word(body)
        || any(&["error", "errors", "error_code"], &means_yes)
        || any(&["success", "ok"], &|value| !value.is_null() && !means_yes(value))
        || any(&["status", "result", "login"], &failed_word)
        || any(&["status", "code"], &failed_code)
}

/// Whether a value says yes, or holds something.
fn means_yes(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::String(text) => {
            !matches!(text.trim().to_lowercase().as_str(), "" | "0" | "false" | "no" | "none" | "null")
        }
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Null => false,
    }
}

#[cfg(test)]
mod tests;
