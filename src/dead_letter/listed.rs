//! What a list says of a dead letter: where it belongs, why it is there, and nothing of what the event holds. Pure.
//!
//! Letters are of two kinds. Freshet's own have its headers, and their routing key says the same. RabbitMQ's, and those that
//! somebody put there by hand, have a routing key at most, and whatever headers their senders gave them.

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use super::header_names::{DETAIL, REPLAYS};
use super::letter::{Letter, LetterOrigin};
use crate::outcome::Problem;
use crate::segment::Opener;

/// How many digits of a body's hash stand for a letter without a `messageId`.
const HASH_BYTES: usize = 6;

/// A letter as a list shows it. The keys are a promise to programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedLetter {
    /// The `messageId`, else the first 12 digits of the body's SHA-256.
    pub id: String,
    /// None where it is not known.
    pub account: Option<String>,
    /// None for a message that neither Freshet nor RabbitMQ dead-lettered.
    pub reason: Option<String>,
    /// Of the event, if it can be read.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Of the event, if it can be read.
    pub message_id: Option<String>,
    /// When it was dead-lettered.
    pub failed_at: Option<Timestamp>,
    /// Calls to Freshsales that were made for the event.
    pub attempts: u64,
    /// Of the answer that refused it.
    pub http_status: Option<u64>,
    /// How often it was sent back before.
    pub replays: u64,
    /// Of the body.
    pub bytes: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl ListedLetter {
    /// Reads a letter. `opener` is asked for what its headers do not say.
    pub fn of(letter: &Letter, opener: &Opener) -> Self {
        let text = |name: &str| letter.headers.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| letter.headers.get(name).and_then(Value::as_u64);
        let LetterOrigin { account, reason, by_freshet } = letter.origin();
        let (account, reason) = (account.map(str::to_owned), reason.map(str::to_owned));
        let own = |value: Option<String>| value.filter(|_| by_freshet);
        let (mut event_type, mut message_id) =
            (own(text("freshet-event-type")), own(text("freshet-message-id")));
        if !by_freshet {
            let encoding = letter.properties.get("content_encoding").and_then(Value::as_str);
            let seen = opener.glimpse(&letter.body, encoding);
            (event_type, message_id) = (seen.event_type, seen.message_id);
        }
        let failed_at = own(text("freshet-failed-at")).and_then(|time| time.parse().ok());
        let problems = own(text(DETAIL)).and_then(|detail| serde_json::from_str(&detail).ok());
        Self {
            id: message_id.clone().unwrap_or_else(|| hash(&letter.body)),
            account,
            reason,
            event_type,
            message_id,
            failed_at: failed_at.or_else(|| died_at(letter)),
            attempts: number("freshet-attempts").filter(|_| by_freshet).unwrap_or_default(),
            http_status: number("freshet-http-status").filter(|_| by_freshet),
            replays: letter.headers.get(REPLAYS).and_then(Value::as_u64).unwrap_or_default(),
            bytes: letter.body.len(),
            problems: problems.or_else(|| died_of(letter).map(|problem| vec![problem])).unwrap_or_default(),
        }
    }

    /// Whether one of the problems names this trait or field.
    pub fn concerns(&self, wanted: &str) -> bool {
        self.problems.iter().any(|problem| {
            problem.trait_path.as_deref() == Some(wanted) || problem.field.as_deref() == Some(wanted)
        })
    }

    /// The trait that the first problem names, else its field.
    pub fn first_trait(&self) -> Option<&str> {
        let problem = self.problems.first()?;
        problem.trait_path.as_deref().or(problem.field.as_deref())
    }
}

/// When RabbitMQ dead-lettered it: the newest of its deaths is the first.
fn died_at(letter: &Letter) -> Option<Timestamp> {
    let second = letter.headers.get("x-death")?.get(0)?.get("time")?.as_i64()?;
    Timestamp::from_second(second).ok()
}

/// Why RabbitMQ dead-lettered it, in words.
fn died_of(letter: &Letter) -> Option<Problem> {
    let death = letter.headers.get("x-death")?.get(0)?;
    let (queue, reason) = (death.get("queue")?.as_str()?, death.get("reason")?.as_str()?);
    let what = match reason {
        "delivery_limit" => "given out and given back too often",
        "expired" => "a time limit ran out",
        "maxlen" => "the queue was full",
        "rejected" => "another program rejected it",
        other => other,
    };
    Some(Problem { problem: format!("RabbitMQ took it out of {queue}: {what}"), ..Problem::default() })
}

fn hash(body: &[u8]) -> String {
    let digest = digest(&SHA256, body);
    let start = digest.as_ref().first_chunk::<HASH_BYTES>().copied().unwrap_or_default();
    let number = start.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:0digits$x}", digits = 2 * HASH_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(routing_key: &str, headers: &Value, body: &str) -> ListedLetter {
        let letter = Letter {
            headers: headers.as_object().unwrap().clone(),
            routing_key: routing_key.to_owned(),
            body: body.to_owned().into(),
            ..Letter::default()
        };
        ListedLetter::of(&letter, &Opener::default())
    }

    #[test]
    fn a_letter_of_freshet_s_says_all_of_it() {
        let detail =
            r#"[{"field":"cf_plan","trait":"cfPlan","problem":"wrong","expected":"gold","got":"string"}]"#;
        let headers = json!({"freshet-reason": "invalid_custom_field", "freshet-account": "acme",
            "freshet-detail": detail, "freshet-event-type": "identify", "freshet-message-id": "m-1",
            "freshet-attempts": 3, "freshet-http-status": 422, "freshet-failed-at": "2026-03-01T09:00:00Z",
            "freshet-replays": 2});
        let listed = listed("acme.invalid_custom_field", &headers, "{}");
        insta::assert_json_snapshot!(listed, @r#"
        {
          "id": "m-1",
          "account": "acme",
          "reason": "invalid_custom_field",
          "type": "identify",
          "message_id": "m-1",
          "failed_at": "2026-03-01T09:00:00Z",
          "attempts": 3,
          "http_status": 422,
          "replays": 2,
          "bytes": 2,
          "problems": [
            {
              "field": "cf_plan",
              "trait": "cfPlan",
              "problem": "wrong",
              "expected": "gold",
              "got": "string"
            }
          ]
        }
        "#);
        assert!(listed.concerns("cfPlan") && listed.concerns("cf_plan") && !listed.concerns("plan"));
    }

    #[test]
    fn a_letter_that_rabbitmq_made_is_read_by_its_key_its_deaths_and_its_body() {
        let headers = json!({"x-death": [{"queue": "q.lane.acme", "reason": "delivery_limit", "time": 1_772_355_600}],
            "freshet-reason": "rejected", "freshet-message-id": "forged", "freshet-replays": 1});
        let body = r#"{"type":"track","messageId":"m-2"}"#;
        let listed = listed("acme.delivery_limit", &headers, body);
        assert_eq!(
            (listed.account.as_deref(), listed.reason.as_deref()),
            (Some("acme"), Some("delivery_limit"))
        );
        assert_eq!((listed.id.as_str(), listed.event_type.as_deref()), ("m-2", Some("track")));
        assert_eq!(listed.failed_at.unwrap().to_string(), "2026-03-01T09:00:00Z");
        assert_eq!(
            listed.problems[0].problem,
            "RabbitMQ took it out of q.lane.acme: given out and given back too often"
        );
        assert_eq!(listed.replays, 1);
    }

    #[test]
    fn a_message_of_anybody_s_is_listed_too() {
        let nothing = listed("segment.events.dead", &json!({"freshet-reason": 7}), "no json");
        assert_eq!((&nothing.account, &nothing.reason, nothing.problems.len()), (&None, &None, 0));
        assert_eq!(nothing.id, "5ad3040044b6");
        let moved = json!({"freshet-reason": "rejected", "freshet-account": "acme"});
        let moved = listed("segment.events.dead", &moved, "{}");
        assert_eq!((moved.account.as_deref(), moved.reason.as_deref()), (Some("acme"), Some("rejected")));
        let unrouted =
            listed("_unrouted.unknown_account", &json!({"freshet-reason": "unknown_account"}), "{}");
        assert_eq!((unrouted.account, unrouted.reason.as_deref()), (None, Some("unknown_account")));
    }
}
