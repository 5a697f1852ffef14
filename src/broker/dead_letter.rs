//! A dead letter's headers: what they are called, and what stands in them.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value};

use super::republish;
use crate::delivery::AccountName;
use crate::metrics::AccountMetrics;
use crate::outcome::Refusal;
use crate::segment;

/// The most that is kept of the problems: headers travel in one frame.
const DETAIL_LIMIT: usize = 16 * 1024;

/// Everything a dead letter says beside its body, by header name.
pub(super) fn headers(
    refusal: &Refusal,
    account: Option<&AccountName>,
    body: &[u8],
    attempts: u32,
    replays: i64,
    failed_at: Timestamp,
) -> Map<String, Value> {
    let glimpse = segment::glimpse(body);
    let mut headers = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            headers.insert(format!("freshet-{name}"), value);
        }
    };
    add("reason", Some(refusal.reason.as_str().into()));
    add("detail", Some(detail(refusal).into()));
    add("account", account.map(|name| (**name).into()));
    add("event-type", glimpse.event_type.map(Into::into));
    add("message-id", glimpse.message_id.map(Into::into));
    add("attempts", Some(attempts.into()));
    add("http-status", refusal.http_status.map(Into::into));
    add("failed-at", Some(failed_at.to_string().into()));
    add("replays", Some(replays.into()));
    headers
}

/// The problems as a JSON list, cut at whole problems.
fn detail(refusal: &Refusal) -> String {
    let mut problems = refusal.problems.as_slice();
    loop {
        let text = serde_json::to_string(problems).unwrap_or_else(|_| "[]".to_owned());
        match problems.split_last() {
            Some((_, shorter)) if text.len() > DETAIL_LIMIT && !shorter.is_empty() => problems = shorter,
            _ => return text,
        }
    }
}

/// Counts and tells an event that becomes a dead letter without having been in a lane's hands.
pub(super) fn count(metrics: &AccountMetrics, account: &str, body: &[u8], refusal: &Refusal) {
    let glimpse = segment::glimpse(body);
    metrics.received.of(glimpse.label()).inc();
    metrics.dead_lettered.of(refusal.reason.as_str()).inc();
    tracing::warn!(
        account,
        event.message_id = glimpse.message_id,
        reason = refusal.reason.as_str(),
        "event dead-lettered"
    );
}

/// The properties of a dead letter for RabbitMQ.
pub(super) fn properties(
    original: &BasicProperties,
    refusal: &Refusal,
    account: Option<&AccountName>,
    body: &[u8],
    attempts: u32,
    now: Timestamp,
) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers(refusal, account, body, attempts, replays(original), now) {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(text.into()),
            Value::Number(number) => AMQPValue::LongLongInt(number.as_i64().unwrap_or_default()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        table.insert(ShortString::try_new(name).unwrap_or_default(), value);
    }
    republish::for_dead_letter(original, &table)
}

/// How often it was sent back from the dead letters before.
fn replays(original: &BasicProperties) -> i64 {
    let count = republish::header(original, "freshet-replays");
    let long = count.and_then(AMQPValue::as_long_long_int);
    long.or_else(|| count.and_then(AMQPValue::as_long_int).map(i64::from)).unwrap_or_default()
}
