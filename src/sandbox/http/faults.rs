//! Misbehaviour on demand: which requests it meets, and what happens to them.

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::{ApiEndpoint, within_account};
use super::request::Request;

/// An example that every complaint about a fault ends with.
const EXAMPLE: &str = r#"[{"endpoint": "contacts_upsert", "action": {"status": 503}, "next": 3}]"#;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sandbox) enum Misbehaviour {
    /// It is answered like this.
    Answer { status: StatusCode, headers: HeaderMap, body: String },
    /// It is answered rightly, but later.
    Delay(Duration),
    /// It is never answered.
    Hang,
    /// Its connection breaks without an answer.
    Reset,
}

/// When the request's own effect happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum RequestEffect {
    /// Not at all, or after a delay.
    Withheld,
    /// Before the misbehaviour: the caller cannot know that it happened.
    Applied,
}

/// A fault as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FaultSpec {
    endpoint: String,
    action: ActionSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    containing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(default)]
    after_effect: bool,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct ActionSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hang: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
}

struct Fault {
    written: FaultSpec,
    misbehaviour: Misbehaviour,
    /// Requests it was asked about.
    seen: u64,
    /// Requests it struck.
    struck: u64,
}

/// Every fault in force. The first that strikes a request decides what happens to it.
#[derive(Default)]
pub(in crate::sandbox) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds the faults of a body: one, or a list. All or none; the error says what would be right.
    pub(in crate::sandbox) fn add(&mut self, body: &[u8]) -> Result<(), String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| teach(&format!("no JSON: {error}")))?;
        let faults = match body {
            Value::Array(faults) => faults,
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                vec![body]
            }
        };
        let faults = faults.iter().enumerate().map(|(position, fault)| {
            Fault::read(fault).map_err(|problem| teach(&format!("fault {}: {problem}", position + 1)))
        });
        let faults: Vec<Fault> = faults.collect::<Result<_, _>>()?;
        self.0.extend(faults);
        Ok(())
    }

    pub(in crate::sandbox) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those in force, as they were written, with how often each struck.
    pub(in crate::sandbox) fn json(&self) -> Value {
        let shown = self.0.iter().map(|fault| {
            let mut shown = serde_json::to_value(&fault.written).unwrap_or_default();
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("struck".to_owned(), Value::from(fault.struck));
            }
            shown
        });
        shown.collect()
    }

    /// What happens to this request, if anything does.
    pub(in crate::sandbox) fn strike(
        &mut self,
        endpoint: ApiEndpoint,
        request: &Request,
    ) -> Option<(Misbehaviour, RequestEffect)> {
        let name = endpoint.name();
        let fault = self.0.iter_mut().find_map(|fault| fault.strikes(&name, request).then_some(fault))?;
        let effect =
            if fault.written.after_effect { RequestEffect::Applied } else { RequestEffect::Withheld };
        let struck = (fault.misbehaviour.clone(), effect);
        self.0.retain(|fault| !fault.spent());
        Some(struck)
    }
}

impl Fault {
    fn read(value: &Value) -> Result<Self, String> {
        let written: FaultSpec =
            serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
        let known = written.endpoint == "*"
            || written.endpoint.starts_with('/')
            || ApiEndpoint::names().contains(&written.endpoint);
        if !known {
            return Err(format!(
                "no endpoint is called {:?}; expected \"*\", the start of a path, or one of {}",
                written.endpoint,
                ApiEndpoint::names().join(", ")
            ));
        }
        if let Some(share) = written.share
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(format!("share is {share}; expected more than 0 and at most 1"));
        }
        if written.containing.as_deref() == Some("") {
            return Err("containing is empty; leave it out to strike every request".to_owned());
        }
        if written.seed.is_some() && written.share.is_none() {
            return Err("seed is of no use without share".to_owned());
        }
        let misbehaviour = written.action.read()?;
        Ok(Self { written, misbehaviour, seen: 0, struck: 0 })
    }

    fn strikes(&mut self, endpoint: &str, request: &Request) -> bool {
        let path = request.path.as_str();
        let aimed = match self.written.endpoint.as_str() {
            "*" => true,
            prefix if prefix.starts_with('/') => {
                path.starts_with(prefix) || within_account(path).1.starts_with(prefix)
            }
            name => name == endpoint,
        };
        if !aimed || self.written.containing.as_ref().is_some_and(|text| !contains(request, text)) {
            return false;
        }
        let turn = self.seen;
        self.seen += 1;
        let strikes = match (self.written.share, self.written.seed) {
            (None, _) => true,
            (Some(share), None) => evenly(share, turn),
            (Some(share), Some(seed)) => scattered(share, seed, turn),
        };
        self.struck += u64::from(strikes);
        strikes
    }

    fn spent(&self) -> bool {
        self.written.next.is_some_and(|next| self.struck >= next.get())
    }
}

impl ActionSpec {
    fn read(&self) -> Result<Misbehaviour, String> {
        let extras = !self.headers.is_empty() || self.body.is_some();
        match (self.status, self.delay_ms, self.hang, self.reset) {
            (Some(status), None, None, None) => self.answer(status),
            (None, _, _, _) if extras => Err("headers and body are of no use without status".to_owned()),
            (None, Some(millis), None, None) => Ok(Misbehaviour::Delay(Duration::from_millis(millis))),
            (None, None, Some(true), None) => Ok(Misbehaviour::Hang),
            (None, None, None, Some(true)) => Ok(Misbehaviour::Reset),
            _ => Err(concat!(
                "action should have exactly one of status (with headers, body), ",
                "delay_ms, hang: true, reset: true"
            )
            .to_owned()),
        }
    }

    fn answer(&self, status: u16) -> Result<Misbehaviour, String> {
        let code = StatusCode::from_u16(status).ok().filter(|_| (200..=599).contains(&status));
        let status = code.ok_or_else(|| format!("status is {status}; expected one from 200 to 599"))?;
        let (body, content_type) = match &self.body {
            None => (String::new(), None),
            Some(Value::String(text)) => (text.clone(), None),
            Some(body) => (body.to_string(), Some("application/json; charset=utf-8")),
        };
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &self.headers {
            let wrong =
                || format!("the header {name:?} cannot be sent: expected a name and a text of one line");
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
        }
        Ok(Misbehaviour::Answer { status, headers, body })
    }
}

fn teach(problem: &str) -> String {
    format!("{problem}. For example: {EXAMPLE}")
}

/// Whether the path, a value of the query or the body has this text.
fn contains(request: &Request, text: &str) -> bool {
    let in_query = || request.query.iter().any(|(_, value)| value.contains(text));
    let in_body = || request.body.windows(text.len()).any(|window| window == text.as_bytes());
    request.path.contains(text) || in_query() || in_body()
}

/// Whether turn `turn` is one of the evenly spaced ones that make up a share.
#[expect(clippy::cast_precision_loss, reason = "turns stay far below 2^53")]
fn evenly(share: f64, turn: u64) -> bool {
    let due = |turns: u64| (turns as f64 * share + 1e-9).floor();
    due(turn + 1) > due(turn)
}

/// Whether turn `turn` falls into a share when turns are shuffled by a seed (splitmix64).
#[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
fn scattered(share: f64, seed: u64, turn: u64) -> bool {
    let mut mixed = seed.wrapping_add((turn + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    ((mixed >> 32) as f64) < share * 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_strikes_that_share_of_turns_and_the_same_ones_each_time() {
        for (share, of_1000) in [(0.1, 100), (0.25, 250), (0.5, 500), (1.0, 1000_usize)] {
            let even = (0..1000).filter(|turn| evenly(share, *turn)).count();
            assert_eq!(even, of_1000);
            let pick = || (0..1000).filter(|turn| scattered(share, 7, *turn)).collect::<Vec<_>>();
            assert!(pick().len().abs_diff(of_1000) < 60, "{share}: {}", pick().len());
            assert_eq!(pick(), pick());
        }
        let other = |seed| (0..100).filter(|turn| scattered(0.5, seed, *turn)).collect::<Vec<_>>();
        assert_ne!(other(1), other(2));
    }

    #[test]
    fn a_wrong_fault_is_answered_with_what_would_be_right() {
        let wrong = [
            ("{", "no JSON"),
            (r#"{"endpoint":"*"}"#, "missing field `action`"),
            (r#"{"endpoint":"contact","action":{"hang":true}}"#, "contacts_upsert"),
            (r#"{"endpoint":"*","action":{}}"#, "exactly one of"),
            (r#"{"endpoint":"*","action":{"hang":false}}"#, "exactly one of"),
            (r#"{"endpoint":"*","action":{"hang":true,"status":500}}"#, "exactly one of"),
            (r#"{"endpoint":"*","action":{"status":99}}"#, "from 200 to 599"),
            (r#"{"endpoint":"*","action":{"reset":true,"body":"x"}}"#, "without status"),
            (r#"{"endpoint":"*","action":{"reset":true},"share":1.5}"#, "at most 1"),
            (r#"{"endpoint":"*","action":{"reset":true},"next":0}"#, "next"),
            (r#"{"endpoint":"*","action":{"reset":true},"containing":""}"#, "containing is empty"),
            (r#"{"endpoint":"*","action":{"reset":true},"time":1}"#, "time"),
        ];
        for (body, expected) in wrong {
            let mut faults = Faults::default();
            let problem = faults.add(body.as_bytes()).expect_err(body);
            assert!(problem.contains(expected) && problem.contains("For example"), "{body}: {problem}");
            assert!(faults.0.is_empty());
        }
    }
}
