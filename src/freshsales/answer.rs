//! What an answer means: one pure function from answer to verdict.

use std::time::Duration;

use serde_json::Value;

use super::call::{BudgetKind, Endpoint, Expected, Link};
use super::contact::listed_emails;
use super::limits::RateLimit;
use crate::mask::mask;

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
    /// JSON that the headers call something else, as only something before the API does.
    Mislabelled(Value),
    /// Nothing.
    Empty,
    /// A web page, or other markup: from something that stands before the API.
    Markup,
    /// Cut-off JSON, plain text, anything else.
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
    /// This call is not let in, or leads nowhere: 403, or 404 where no record was asked for by its id. It may be what
    /// was asked for, or everything; only other calls can tell.
    Denied {
        /// The HTTP status.
        status: u16,
        /// At least one.
        messages: Vec<String>,
    },
    /// Something else than the API answered. It may dislike this record, or stand before all calls; only other calls
    /// can tell.
    Foreign(Sight),
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
        cause: UnavailableCause,
        /// As asked by the answer.
        retry_after: Option<Duration>,
    },
}

/// Why an answer is not one to build upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableCause {
    /// A status that says so, or a good one with a body that is not what the endpoint answers.
    ServerError(u16),
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Connection,
    /// A bug: the task that sent the call panicked.
    Panicked,
}

/// What came in place of an answer of the API. Shown in words that hold nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The HTTP status.
    pub status: u16,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Page,
    Redirect,
    Nothing,
    Text,
    OtherJson,
    /// A good status, and a body that says that it failed.
    Failure,
}

impl Sight {
    const fn of(status: u16, body: &Body) -> Self {
        let what = match body {
            _ if status >= 300 && status < 400 => What::Redirect,
            Body::Markup => What::Page,
            Body::Empty => What::Nothing,
            Body::Unreadable | Body::TooLarge => What::Text,
            Body::Json(_) | Body::Mislabelled(_) if status < 300 => What::Failure,
            Body::Json(_) | Body::Mislabelled(_) => What::OtherJson,
        };
        Self { status, what }
    }

    /// What to look at first where every call is answered so.
    pub const fn advice(self) -> &'static str {
        match (self.what, self.status) {
            (_, 407) => "does a proxy ask for credentials?",
            (_, 404 | 410) => "was the account renamed? check url",
            (What::Redirect, _) => "was the account moved? check url",
            (What::Page, 200..=299) => "is it a sign-in or maintenance page? check url",
            (_, 200..=299) => "check url",
            (_, 403 | 405 | 406) => "does a firewall or a proxy stand in the way?",
            _ => "does a proxy stand in the way? check url",
        }
    }
}

impl std::fmt::Display for Sight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status;
        match self.what {
            What::Page => write!(f, "a web page with status {status}"),
            What::Redirect => write!(f, "a redirect, status {status}"),
            What::Nothing => write!(f, "an empty answer with status {status}"),
            What::Text => write!(f, "something that is no JSON, with status {status}"),
            What::OtherJson => write!(f, "JSON that is not the API's, with status {status}"),
            What::Failure => write!(f, "status {status} and a body that says that it failed"),
        }
    }
}

impl Verdict {
    /// The `outcome` label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "ok",
            Self::Unauthorized { .. } | Self::Denied { status: 403, .. } => "unauthorized",
            Self::Refused { .. } | Self::Denied { .. } => "rejected",
            Self::Throttled { .. } | Self::TooManyJobs => "throttled",
            Self::Foreign(_) | Self::Unavailable { cause: UnavailableCause::ServerError(_), .. } => {
                "server_error"
            }
            Self::Unavailable { cause: UnavailableCause::Timeout, .. } => "timeout",
            Self::Unavailable { cause: UnavailableCause::Connection, .. } => "connection",
            Self::Unavailable { cause: UnavailableCause::Panicked, .. } => "panicked",
        }
    }
}

/// Decides what an answer means. The one place that does.
///
/// Only the API's own JSON condemns a record, and only where it speaks of the record. Everything not understood is tried
/// again, because a wrong "try again" costs time and a wrong "refused" costs an event.
pub fn classify(endpoint: Endpoint, answer: Result<Answer, NoAnswer>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Timeout) => return unavailable(UnavailableCause::Timeout, None),
        Err(NoAnswer::Connection) => return unavailable(UnavailableCause::Connection, None),
    };
    let status = match inner_status(endpoint, &answer) {
        Inner::None => answer.status,
        Inner::Status(status) => status,
        Inner::Failure => return Verdict::Foreign(Sight::of(answer.status, &answer.body)),
    };
    match status {
        200..=299 => good(endpoint, answer),
        401 | 402 => Verdict::Unauthorized { status },
        429 => Verdict::Throttled { retry_after: answer.retry_after },
        408 | 425 | 500..=599 => unavailable(UnavailableCause::ServerError(status), answer.retry_after),
        400..=499 => not_taken(endpoint, status, &answer),
        _ => Verdict::Foreign(Sight::of(answer.status, &answer.body)),
    }
}

/// A 4xx that does not speak of the credentials, the server or the moment.
fn not_taken(endpoint: Endpoint, status: u16, answer: &Answer) -> Verdict {
    let Some(messages) = messages(status, &answer.body) else {
        return Verdict::Foreign(Sight::of(answer.status, &answer.body));
    };
    match status {
        405 if matches!(endpoint, Endpoint::BulkUpsert(_)) => Verdict::TooManyJobs,
        405 => unavailable(UnavailableCause::ServerError(status), answer.retry_after),
        // Without an id it is the path that is not there: of the account, or of this part of the API.
        404 | 410 if !endpoint.names_an_id() => Verdict::Denied { status, messages },
        status if condemns(status) => Verdict::Refused { status, messages },
        _ => Verdict::Denied { status, messages },
    }
}

/// Whether a status speaks of the record, and not of the server, the credentials or the moment.
pub const fn condemns(status: u16) -> bool {
    matches!(status, 400 | 404 | 409 | 410 | 413 | 414 | 422 | 431)
}

fn unavailable(cause: UnavailableCause, retry_after: Option<Duration>) -> Verdict {
    Verdict::Unavailable { cause, retry_after }
}

fn good(endpoint: Endpoint, answer: Answer) -> Verdict {
    let sight = Sight::of(answer.status, &answer.body);
    let body = match answer.body {
        Body::Json(body) | Body::Mislabelled(body) => body,
        // A sign-in or maintenance page with status 200 would lose the activity.
        Body::Markup => return Verdict::Foreign(sight),
        Body::Empty => match endpoint.answers() {
            Expected::Anything => Value::Null,
            Expected::Key(_) | Expected::Record(_) => return Verdict::Foreign(sight),
        },
        // What the tracking endpoints answer is not known: "OK" would be plausible.
        Body::Unreadable => Value::Null,
        // Tried again for days, an activity might take effect each time.
        Body::TooLarge if endpoint.budget() == BudgetKind::Tracking => return Verdict::Foreign(sight),
        Body::TooLarge => {
            return unavailable(UnavailableCause::ServerError(answer.status), answer.retry_after);
        }
    };
    let believable = match endpoint.answers() {
        Expected::Anything => true,
        Expected::Key(key) => body.get(key).is_some(),
        Expected::Record(key) => record_id(&body, key).is_some(),
    };
    if believable {
        Verdict::Done(body)
    } else {
        unavailable(UnavailableCause::ServerError(answer.status), answer.retry_after)
    }
}

/// What an answer says inside, where that counts more than its HTTP status.
enum Inner {
    None,
    Status(u16),
    /// It failed, and no status says why.
    Failure,
}

fn inner_status(endpoint: Endpoint, answer: &Answer) -> Inner {
    let (Body::Json(body) | Body::Mislabelled(body)) = &answer.body else { return Inner::None };
    match answer.status {
        // An error body may come with a 200; its own code then counts.
        200..=299 => match error_code(body) {
            Some(code) => Inner::Status(code),
            None if says_failure(endpoint, body) => Inner::Failure,
            None => Inner::None,
        },
        // The record's own refusals are 400, too; what is behind Freshsales is not, and says so by its status.
        400 => error_code(body)
            .into_iter()
            .chain(
                messages(400, &answer.body).iter().flatten().filter_map(|message| upstream_status(message)),
            )
            .find(|status| matches!(status, 408 | 429 | 500..=599))
            .map_or(Inner::None, Inner::Status),
        _ => Inner::None,
    }
}

/// The status of what is behind Freshsales, as its messages carry it: `... :: response_code :: 429 :: response :: ...`.
/// The words around it are translated, this is not.
pub(super) fn upstream_status(message: &str) -> Option<u16> {
    const NAME: &str = "response_code";
    let lower = message.to_ascii_lowercase();
    let (_, after) = lower.split_once(NAME)?;
    let digits = after.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).filter(|digits| digits.len() == 3)?.parse().ok()
}

/// Whether a body with a good status and without a code says that the call failed.
fn says_failure(endpoint: Endpoint, body: &Value) -> bool {
    let told = |key: &str| body.get(key).is_some_and(has_content);
    if told("errors") {
        return true;
    }
    match endpoint {
        Endpoint::TrackEvent | Endpoint::TrackPageView => {
            let no = |key: &str| body.get(key).and_then(Value::as_bool) == Some(false);
            let status = body.get("status").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            let failed = matches!(status.as_str(), "error" | "fail" | "failed" | "failure");
            told("error") || no("success") || no("ok") || failed
        }
        // Here a status is the job's, and the others must hold what was asked for.
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
        | Endpoint::Lookup => false,
    }
}

/// The id of the record under `key`. Ids come as numbers or as digits in a string.
pub fn record_id(body: &Value, key: &str) -> Option<i64> {
    id(body.get(key)?.get("id")?)
}

pub(super) fn id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|id| *id > 0)
}

/// Whether the contact in an answer is another one than that with this address: it lists addresses, and this is none of
/// them.
pub fn is_another_contact(body: &Value, email: &str) -> bool {
    let Some(contact) = body.get("contact") else { return false };
    let listed: Vec<&str> =
        listed_emails(contact).filter_map(|listed| listed.get("value")?.as_str()).collect();
    let primary = contact.get("email").and_then(Value::as_str);
    let same = |other: &&str| other.trim().to_lowercase() == email.to_lowercase();
    !listed.is_empty() && !listed.iter().chain(&primary).any(same)
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

/// The tags of the record under `key`, or `None` where the answer does not tell.
pub fn shown_tags(body: &Value, key: &str) -> Option<Vec<String>> {
    match body.get(key)?.get("tags")? {
        Value::Null => Some(Vec::new()),
        Value::Array(tags) => tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
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

/// What Freshsales says is wrong, in any of the shapes it was seen to use; `None` if that is not how it speaks.
fn messages(status: u16, body: &Body) -> Option<Vec<String>> {
    let Body::Json(body) = body else { return None };
    let told: Vec<&Value> = ["errors", "message", "description", "error"]
        .iter()
        .filter_map(|key| body.get(key))
        .filter(|value| !value.is_null())
        .collect();
    if told.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    for value in told {
        collect(value, &mut found);
    }
    if found.is_empty() {
        found.push(format!("status {status} without a message"));
    }
    Some(found)
}

/// Adds every text of a value, masked, as long as there are few: an answer of megabytes must not keep a worker busy.
pub(super) fn collect(value: &Value, found: &mut Vec<String>) {
    if found.len() >= MESSAGES {
        return;
    }
    match value {
        Value::String(text) => {
            let text = message(text);
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

/// One message as it may leave: bounded, in one line, without addresses and phone numbers.
fn message(text: &str) -> String {
    let mut part: String = text.chars().filter(|c| !c.is_control()).take(2 * MESSAGE_LENGTH).collect();
    // Half of an address would not be known for one.
    if part.chars().count() == 2 * MESSAGE_LENGTH {
        part.truncate(part.rfind(char::is_whitespace).unwrap_or(0));
    }
    mask(&part).chars().take(MESSAGE_LENGTH).collect()
}

#[cfg(test)]
mod tests;
