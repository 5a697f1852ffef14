//! A dead letter's headers, its form as a line of a file, and what is told of those that wait: a list, groups, filters.
//! Knows nothing of AMQP. Asked by the router, the lanes' consumers, the file feed, and all who look at dead letters.

mod counted;
mod filter;
mod groups;
pub(crate) mod header_names;
mod letter;
mod listed;
mod moment;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::delivery::{AccountName, TraceId, UNROUTED};
use crate::metrics::AccountMetrics;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::Glimpse;
pub use counted::CountedLetters;
pub use filter::{LetterFilter, LetterSelection};
pub use groups::{LetterGroup, LetterGroups};
pub use letter::Letter;
pub use listed::ListedLetter;
pub use moment::Moment;

/// The most bytes of the `freshet-detail` header: all headers travel in one frame.
const DETAIL_LIMIT: usize = 16 * 1024;
/// Left free of it for the last entry, "and 17 more".
const MORE_ROOM: usize = 200;
/// The most characters of each of a problem's five texts, where one problem alone is over the limit. JSON takes up to six
/// bytes for a character.
const TEXT_LIMIT: usize = 500;

/// An event that cannot be delivered, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadLetter<'a> {
    pub(crate) refusal: &'a Refusal,
    /// None where the event's account is not known.
    pub(crate) account: Option<&'a AccountName>,
    pub(crate) seen: &'a Glimpse,
    /// Calls to Freshsales that were made for the event.
    pub(crate) attempts: u32,
    pub(crate) failed_at: Timestamp,
}

impl DeadLetter<'_> {
    /// Counts and logs an event that no lane has received; a lane does both itself.
    pub(crate) fn count_as_received(&self, metrics: &AccountMetrics, trace_id: Option<TraceId>) {
        let Self { refusal, account, seen, .. } = self;
        metrics.events.received.of(seen.label()).inc();
        metrics.events.dead_lettered.of(refusal.reason.as_str()).inc();
        tracing::warn!(
            account = account.map_or(UNROUTED, |name| name),
            event.message_id = seen.message_id,
            reason = refusal.reason.as_str(),
            trace_id = trace_id.map(tracing::field::display),
            "event dead-lettered"
        );
    }

    pub(crate) fn routing_key(&self) -> String {
        routing_key(self.account, self.refusal.reason)
    }

    /// Everything the letter says beside its body, by header name. `replays`: how often the event has been sent back
    /// from the dead letters.
    pub(crate) fn headers(&self, replays: i64) -> Map<String, Value> {
        let Self { refusal, account, seen, attempts, failed_at } = self;
        let mut headers = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                headers.insert(name.to_owned(), value);
            }
        };
        add(header_names::REASON, Some(refusal.reason.as_str().into()));
        add(header_names::DETAIL, Some(detail(refusal).into()));
        add(header_names::ACCOUNT, account.map(|name| (**name).into()));
        add("freshet-event-type", seen.event_type.as_deref().map(Into::into));
        add("freshet-message-id", seen.message_id.as_deref().map(Into::into));
        add("freshet-attempts", Some((*attempts).into()));
        add("freshet-http-status", refusal.http_status.map(Into::into));
        add("freshet-failed-at", Some(failed_at.to_string().into()));
        add(header_names::REPLAYS, Some(replays.into()));
        headers
    }
}

/// `<account>.<reason>`: the dead-letter exchange is a topic exchange, so a queue can be bound to either.
pub(crate) fn routing_key(account: Option<&AccountName>, reason: DeadLetterReason) -> String {
    format!("{}.{reason}", account.map_or(UNROUTED, |name| name))
}

/// A JSON list of as many problems as there is room for, and then how many more there are.
fn detail(refusal: &Refusal) -> String {
    let mut list = "[".to_owned();
    let mut left_out = 0;
    for (index, problem) in refusal.problems.iter().enumerate() {
        if problem.further > 0 || left_out > 0 {
            left_out += problem.further.max(1);
            continue;
        }
        let mut text = json(problem);
        if index == 0 && text.len() > DETAIL_LIMIT - MORE_ROOM {
            text = json(&shortened(problem, TEXT_LIMIT));
        }
        if list.len() + text.len() + MORE_ROOM > DETAIL_LIMIT {
            left_out = 1;
        } else {
            add(&mut list, &text);
        }
    }
    if let Some(more) = Problem::further(left_out) {
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

/// The same problem with each text cut to so many characters. With [`TEXT_LIMIT`] it keeps within [`DETAIL_LIMIT`] however
/// the texts are escaped.
fn shortened(problem: &Problem, most: usize) -> Problem {
    let cut = |text: &String| text.chars().take(most).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::DeadLetterReason;

    fn detail_of(problems: Vec<Problem>) -> Value {
        let refusal = Refusal { reason: DeadLetterReason::InvalidField, problems, http_status: None };
        let detail = detail(&refusal);
        assert!(detail.len() <= DETAIL_LIMIT, "{}", detail.len());
        serde_json::from_str(&detail).unwrap()
    }

    #[test]
    fn the_detail_keeps_within_its_limit_and_counts_what_it_leaves_out() {
        let problem = |length| Problem {
            problem: "wrong".into(),
            expected: Some("\u{1}".repeat(length)),
            ..Problem::default()
        };
        assert_eq!(detail_of(vec![problem(10); 3]).as_array().unwrap().len(), 3);
        let some = detail_of(vec![problem(1000); 4]);
        assert_eq!((some.as_array().unwrap().len(), &some[2]["problem"]), (3, &Value::from("and 2 more")));
        let mut many = vec![problem(10); 100];
        many.extend(Problem::further(39_900));
        let many = detail_of(many);
        assert_eq!(many.as_array().unwrap().len(), 101);
        assert_eq!(many[100]["problem"], "and 39,900 more");
        let mut long = vec![problem(400); 100];
        long.extend(Problem::further(39_900));
        let long = detail_of(long);
        assert_eq!(long.as_array().unwrap().last().unwrap()["problem"], "and 39,994 more");
        let alone = detail_of(vec![problem(100_000), problem(1)]);
        assert_eq!(alone[0]["problem"], "wrong");
        assert_eq!(alone[0]["expected"].as_str().unwrap().len(), TEXT_LIMIT);
    }

    #[test]
    fn every_problem_has_all_five_keys() {
        let detail = detail_of(vec![Problem { problem: "wrong".into(), ..Problem::default() }]);
        let expected = serde_json::json!([{"field": null, "trait": null, "problem": "wrong", "expected": null, "got": null}]);
        assert_eq!(detail, expected);
    }
}
