//! What an answer means: one pure function from answer to verdict.

use std::time::Duration;

use serde_json::Value;

use super::call::{Endpoint, Expected, Link};
use super::limits::RateLimit;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What the headers say about the quota.
    pub rate_limit: RateLimit,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
    /// The body, as far as it could be read.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// Nothing.
    Empty,
    /// A web page, or other markup: from something that stands before the API.
    Markup,
    /// Cut-off JSON, anything else.
    Unreadable,
    /// More than is taken of any answer.
    TooLarge,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not within the request timeout.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
}

/// What an answer means for the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It took effect; the body is worth reading.
    Done(Value),
    /// The record is refused for good; the messages are Freshsales' own.
    Refused {
        /// The HTTP status.
        status: u16,
        /// At least one.
        messages: Vec<String>,
    },
    /// The credentials are not accepted: no call of this account can succeed until somebody mends them.
    Unauthorized {
        /// The HTTP status.
        status: u16,
    },
    /// Too many calls.
    Throttled {
        /// As asked by the answer.
        retry_after: Option<Duration>,
    },
    /// A bulk upsert came while too many jobs of the account run, those of other programs included. It says nothing
    /// about the records, nor about Freshsales' health.
    TooManyJobs,
    /// Not now; trying again later is right.
    Unavailable {
        /// What kind of trouble.
        trouble: Trouble,
        /// As asked by the answer.
        retry_after: Option<Duration>,
    },
}

/// Why an answer is not one to build upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A status that says so, or a good one with a body that is not what the endpoint answers.
    ServerError(u16),
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Connection,
}

impl Verdict {
    /// The `outcome` label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "ok",
            Self::Refused { .. } => "rejected",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Throttled { .. } | Self::TooManyJobs => "throttled",
            Self::Unavailable { trouble: Trouble::ServerError(_), .. } => "server_error",
            Self::Unavailable { trouble: Trouble::Timeout, .. } => "timeout",
            Self::Unavailable { trouble: Trouble::Connection, .. } => "connection",
        }
    }
}

/// Decides what an answer means. The one place that does.
///
/// A 4xx condemns the record only where it speaks of the record. Everything not understood is
/// tried again, because a wrong "try again" costs time and a wrong "refused" costs an event.
pub fn classify(endpoint: Endpoint, answer: Result<Answer, NoAnswer>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Timeout) => return unavailable(Trouble::Timeout, None),
        Err(NoAnswer::Connection) => return unavailable(Trouble::Connection, None),
    };
    // An error body may come with a 200; its own code then counts.
    let status = match (answer.status, &answer.body) {
        (200..=299, Body::Json(body)) => error_code(body).unwrap_or(answer.status),
        (status, _) => status,
    };
    match status {
        200..=299 => good(endpoint, answer),
        401..=403 => Verdict::Unauthorized { status },
        429 => Verdict::Throttled { retry_after: answer.retry_after },
        405 if too_many_jobs(endpoint, &answer.body) => Verdict::TooManyJobs,
        status if condemns(status) => Verdict::Refused { status, messages: messages(status, &answer.body) },
        _ => unavailable(Trouble::ServerError(status), answer.retry_after),
    }
}

/// Whether a 405 is the API's word that too many bulk jobs run. In a web page it is somebody else's.
const fn too_many_jobs(endpoint: Endpoint, body: &Body) -> bool {
    matches!(endpoint, Endpoint::BulkUpsert(_)) && !matches!(body, Body::Markup | Body::TooLarge)
}

/// Whether a status speaks of the record, and not of the server, the credentials or the moment.
pub const fn condemns(status: u16) -> bool {
    matches!(status, 400 | 404 | 409 | 410 | 413 | 414 | 422 | 431)
}

fn unavailable(trouble: Trouble, retry_after: Option<Duration>) -> Verdict {
    Verdict::Unavailable { trouble, retry_after }
}

fn good(endpoint: Endpoint, answer: Answer) -> Verdict {
    // A sign-in or maintenance page with status 200 would lose the activity.
    let from_api = !matches!(answer.body, Body::Markup | Body::TooLarge);
    let body = match answer.body {
        Body::Json(body) => body,
        Body::Empty | Body::Markup | Body::Unreadable | Body::TooLarge => Value::Null,
    };
    let believable = match endpoint.answers() {
        Expected::Anything => from_api,
        Expected::Key(key) => body.get(key).is_some(),
        Expected::Record(key) => record_id(&body, key).is_some(),
    };
    if believable {
        Verdict::Done(body)
    } else {
        unavailable(Trouble::ServerError(answer.status), answer.retry_after)
    }
}

/// The id of the record under `key`. Ids come as numbers or as digits in a string.
pub fn record_id(body: &Value, key: &str) -> Option<i64> {
    id(body.get(key)?.get("id")?)
}

fn id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The sales accounts a contact is linked to, or `None` where the answer does not tell.
pub fn linked_accounts(body: &Value) -> Option<Vec<Link>> {
    let links = body.get("contact")?.get("sales_accounts")?;
    if links.is_null() {
        return Some(Vec::new());
    }
    let links = links.as_array()?;
    links
        .iter()
        .map(|link| {
            let primary = link.get("is_primary").and_then(Value::as_bool).unwrap_or(false);
            Some(Link { id: id(link.get("id")?)?, primary })
        })
        .collect()
}

/// The address of the contact whose `external_id` is exactly this one.
pub fn found_email(body: &Value, user_id: &str) -> Option<String> {
    let contacts = body.get("contacts")?.get("contacts")?.as_array()?;
    let contact = contacts.iter().find(|contact| {
        contact.get("external_id").is_none_or(|id| id.as_str() == Some(user_id) || id.is_null())
    })?;
    let listed = || {
        let emails = contact.get("emails")?.as_array()?;
        let primary = |email: &&Value| email.get("is_primary").and_then(Value::as_bool).unwrap_or(false);
        emails.iter().find(primary).or(emails.first())?.get("value")
    };
    contact.get("email").and_then(Value::as_str).or_else(|| listed()?.as_str()).map(str::to_lowercase)
}

/// The status inside an error body: `{"errors":{"code":400,...}}` or `{"code":400,"message":...}`.
fn error_code(body: &Value) -> Option<u16> {
    let errors = body.get("errors").filter(|errors| !errors.is_null());
    if errors.is_none() && body.get("message").is_none() {
        return None;
    }
    let code = errors.and_then(|errors| errors.get("code")).or_else(|| body.get("code"));
    match code.and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()) {
        Some(code) => (400..=599).contains(&code).then_some(code),
        // Errors without a code: something is wrong, but it is not said to be the record.
        None => errors.filter(|errors| has_content(errors)).map(|_| 500),
    }
}

fn has_content(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Longest message, and most messages, kept of a refusal.
const MESSAGE_LENGTH: usize = 300;
const MESSAGES: usize = 10;

/// What Freshsales says is wrong, in any of the shapes it was seen to use.
fn messages(status: u16, body: &Body) -> Vec<String> {
    let mut found = Vec::new();
    if let Body::Json(body) = body {
        for key in ["errors", "message", "description", "error"] {
            if let Some(value) = body.get(key) {
                collect(value, &mut found);
            }
        }
    }
    if found.is_empty() {
        found.push(format!("status {status} without a message"));
    }
    found
}

/// Adds every text of a value, as long as there are few: an answer of megabytes must not keep a worker busy.
pub(super) fn collect(value: &Value, found: &mut Vec<String>) {
    if found.len() >= MESSAGES {
        return;
    }
    match value {
        Value::String(text) => {
            let text: String = text.chars().filter(|c| !c.is_control()).take(MESSAGE_LENGTH).collect();
            if !text.is_empty() && !found.contains(&text) {
                found.push(text);
            }
        }
        Value::Array(items) => items.iter().take(MESSAGES).for_each(|item| collect(item, found)),
        Value::Object(items) => {
            items.iter().filter(|(key, _)| key.as_str() != "code").for_each(|(_, item)| collect(item, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
