//! A dead letter's headers: what they are called, and what stands in them.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value};

use crate::broker::amqp::properties;
use crate::delivery::AccountName;
use crate::metrics::AccountMetrics;
use crate::outcome::{Problem, Refusal};
use crate::segment::Glimpse;

/// The most that is kept of the problems: headers travel in one frame.
const DETAIL_LIMIT: usize = 16 * 1024;
/// What is left free of it for the number of the problems that are not told.
const MORE_ROOM: usize = 200;
/// The most characters that are kept of a text where one problem alone is over the limit. There are five texts, and
/// JSON takes up to six bytes for a character.
const TEXT_LIMIT: usize = 500;

/// Everything a dead letter says beside its body, by header name.
pub(crate) fn headers(
    refusal: &Refusal,
    account: Option<&AccountName>,
    seen: &Glimpse,
    attempts: u32,
    replays: i64,
    failed_at: Timestamp,
) -> Map<String, Value> {
    let mut headers = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            headers.insert(format!("freshet-{name}"), value);
        }
    };
    add("reason", Some(refusal.reason.as_str().into()));
    add("detail", Some(detail(refusal).into()));
    add("account", account.map(|name| (**name).into()));
    add("event-type", seen.event_type.as_deref().map(Into::into));
    add("message-id", seen.message_id.as_deref().map(Into::into));
    add("attempts", Some(attempts.into()));
    add("http-status", refusal.http_status.map(Into::into));
    add("failed-at", Some(failed_at.to_string().into()));
    add("replays", Some(replays.into()));
    headers
}

/// The problems as a JSON list, as many as there is room for, and then how many more there are; a problem that is too
/// long alone is cut in its texts.
fn detail(refusal: &Refusal) -> String {
    let mut list = "[".to_owned();
    let mut untold = 0;
    for (told, problem) in refusal.problems.iter().enumerate() {
        if problem.further > 0 || untold > 0 {
            untold += problem.further.max(1);
            continue;
        }
        let mut text = json(problem);
        if told == 0 && text.len() > DETAIL_LIMIT - MORE_ROOM {
            text = json(&shortened(problem));
        }
        if list.len() + text.len() + MORE_ROOM > DETAIL_LIMIT {
            untold = 1;
        } else {
            add(&mut list, &text);
        }
    }
    if let Some(more) = Problem::further(untold) {
        add(&mut list, &json(&more));
    }
    list.push(']');
    list
}

fn json(problem: &Problem) -> String {
    serde_json::to_string(problem).unwrap_or_default()
}

fn add(list: &mut String, item: &str) {
    if list.len() > 1 {
        list.push(',');
    }
    list.push_str(item);
}

/// The same problem with every text cut, so that all of them keep within [`DETAIL_LIMIT`] however they are escaped.
fn shortened(problem: &Problem) -> Problem {
    let cut = |text: &String| text.chars().take(TEXT_LIMIT).collect();
    let cut_if_any = |text: &Option<String>| text.as_ref().map(cut);
    Problem {
        field: cut_if_any(&problem.field),
        trait_path: cut_if_any(&problem.trait_path),
        problem: cut(&problem.problem),
        expected: cut_if_any(&problem.expected),
        got: cut_if_any(&problem.got),
        further: problem.further,
    }
}

/// Counts and tells an event that becomes a dead letter without having been in a lane's hands.
pub(crate) fn count(metrics: &AccountMetrics, account: &str, seen: &Glimpse, refusal: &Refusal) {
    metrics.received.of(seen.label()).inc();
    metrics.dead_lettered.of(refusal.reason.as_str()).inc();
    tracing::warn!(
        account,
        event.message_id = seen.message_id,
        reason = refusal.reason.as_str(),
        "event dead-lettered"
    );
}

/// The properties of a dead letter for RabbitMQ.
pub(crate) fn properties(
    original: &BasicProperties,
    refusal: &Refusal,
    account: Option<&AccountName>,
    seen: &Glimpse,
    attempts: u32,
    now: Timestamp,
) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers(refusal, account, seen, attempts, replays(original), now) {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(text.into()),
            Value::Number(number) => AMQPValue::LongLongInt(number.as_i64().unwrap_or_default()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        table.insert(ShortString::try_new(name).unwrap_or_default(), value);
    }
    properties::for_dead_letter(original, &table)
}

/// How often it was sent back from the dead letters before. Bounded, so that a forged count can be counted up.
fn replays(original: &BasicProperties) -> i64 {
    let count = properties::header(original, "freshet-replays");
    let long = count.and_then(AMQPValue::as_long_long_int);
    let count = long.or_else(|| count.and_then(AMQPValue::as_long_int).map(i64::from)).unwrap_or_default();
    count.clamp(0, i64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::DeadLetterReason;

    fn said(problems: Vec<Problem>) -> Value {
        let refusal = Refusal { reason: DeadLetterReason::InvalidField, problems, http_status: None };
        let detail = detail(&refusal);
        assert!(detail.len() <= DETAIL_LIMIT, "{}", detail.len());
        serde_json::from_str(&detail).unwrap()
    }

    #[test]
    fn the_detail_keeps_within_its_limit_and_says_what_it_can() {
        let problem = |length| Problem {
            problem: "wrong".into(),
            expected: Some("\u{1}".repeat(length)),
            ..Problem::default()
        };
        assert_eq!(said(vec![problem(10); 3]).as_array().unwrap().len(), 3);
        let some = said(vec![problem(1000); 4]);
        assert_eq!((some.as_array().unwrap().len(), &some[2]["problem"]), (3, &Value::from("and 2 more")));
        let mut many = vec![problem(10); 100];
        many.extend(Problem::further(39_900));
        let many = said(many);
        assert_eq!(many.as_array().unwrap().len(), 101);
        assert_eq!(many[100]["problem"], "and 39,900 more");
        let mut long = vec![problem(400); 100];
        long.extend(Problem::further(39_900));
        let long = said(long);
        assert_eq!(long.as_array().unwrap().last().unwrap()["problem"], "and 39,994 more");
        let alone = said(vec![problem(100_000), problem(1)]);
        assert_eq!(alone[0]["problem"], "wrong");
        assert_eq!(alone[0]["expected"].as_str().unwrap().len(), TEXT_LIMIT);
    }

    #[test]
    fn every_problem_has_its_five_keys_whatever_there_is_to_say() {
        let said = said(vec![Problem { problem: "wrong".into(), ..Problem::default() }]);
        let expected = serde_json::json!([{"field": null, "trait": null, "problem": "wrong", "expected": null, "got": null}]);
        assert_eq!(said, expected);
    }
}
