//! Misbehaviour on demand: which requests a fault strikes, and what happens to them.

use serde_json::Value;

use super::fault_spec::{FaultSpec, Misbehaviour};
use crate::sandbox::http::endpoint::within_account;
use crate::sandbox::http::request::ApiRequest;

/// Every complaint about a fault ends with it.
const EXAMPLE: &str = r#"[{"endpoint": "contacts_upsert", "action": {"status": 503}, "next": 3}]"#;

/// Whether the API does what a struck request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox::http) enum RequestEffect {
    /// No; after a delay, yes.
    Withheld,
    /// Before the misbehaviour, so that the caller cannot know.
    Applied,
}

struct Fault {
    spec: FaultSpec,
    misbehaviour: Misbehaviour,
    /// Requests that it could have struck.
    matched: u64,
    struck: u64,
}

/// Every fault in force. The first that strikes a request decides what happens to it.
#[derive(Default)]
pub(in crate::sandbox) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds the faults in a body, one or a list; all or none. The error says what would be right.
    pub(in crate::sandbox) fn add(&mut self, body: &[u8]) -> Result<(), String> {
        let with_example = |problem: &str| format!("{problem}. For example: {EXAMPLE}");
        let body: Value =
            serde_json::from_slice(body).map_err(|error| with_example(&format!("no JSON: {error}")))?;
        let faults = match body {
            Value::Array(faults) => faults,
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                vec![body]
            }
        };
        let faults = faults.iter().enumerate().map(|(position, fault)| {
            let parsed = FaultSpec::parse(fault);
            let parsed =
                parsed.map_err(|problem| with_example(&format!("fault {}: {problem}", position + 1)));
            parsed.map(|(spec, misbehaviour)| Fault { spec, misbehaviour, matched: 0, struck: 0 })
        });
        let faults: Vec<Fault> = faults.collect::<Result<_, _>>()?;
        self.0.extend(faults);
        Ok(())
    }

    pub(in crate::sandbox) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults in force as they were added, with `struck`.
    pub(in crate::sandbox) fn json(&self) -> Value {
        let shown = self.0.iter().map(|fault| {
            let mut shown = serde_json::to_value(&fault.spec).unwrap_or_default();
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("struck".to_owned(), Value::from(fault.struck));
            }
            shown
        });
        shown.collect()
    }

    /// What happens to this request, if a fault strikes it.
    pub(in crate::sandbox::http) fn strike(
        &mut self,
        endpoint: &str,
        request: &ApiRequest,
    ) -> Option<(Misbehaviour, RequestEffect)> {
        let fault = self.0.iter_mut().find_map(|fault| fault.strikes(endpoint, request).then_some(fault))?;
        let effect = if fault.spec.after_effect { RequestEffect::Applied } else { RequestEffect::Withheld };
        let struck = (fault.misbehaviour.clone(), effect);
        self.0.retain(|fault| !fault.is_spent());
        Some(struck)
    }
}

impl Fault {
    fn strikes(&mut self, endpoint: &str, request: &ApiRequest) -> bool {
        if !self.matches(endpoint, request) {
            return false;
        }
        let turn = self.matched;
        self.matched += 1;
        let strikes = match (self.spec.share, self.spec.seed) {
            (None, _) => true,
            (Some(share), None) => evenly(share, turn),
            (Some(share), Some(seed)) => scattered(share, seed, turn),
        };
        self.struck += u64::from(strikes);
        strikes
    }

    fn matches(&self, endpoint: &str, request: &ApiRequest) -> bool {
        let path = request.path.as_str();
        let at_endpoint = match self.spec.endpoint.as_str() {
            "*" => true,
            prefix if prefix.starts_with('/') => {
                path.starts_with(prefix) || within_account(path).1.starts_with(prefix)
            }
            name => name == endpoint,
        };
        at_endpoint && self.spec.containing.as_ref().is_none_or(|text| request.contains(text))
    }

    fn is_spent(&self) -> bool {
        self.spec.next.is_some_and(|next| self.struck >= next.get())
    }
}

/// Whether request `turn`, counted from 0, is one of the evenly spaced ones that make up the share.
#[expect(clippy::cast_precision_loss, reason = "turns stay far below 2^53")]
fn evenly(share: f64, turn: u64) -> bool {
    let due = |turns: u64| (turns as f64 * share + 1e-9).floor();
    due(turn + 1) > due(turn)
}

/// Whether request `turn` falls into the share when requests are shuffled by a seed (splitmix64).
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
    fn an_invalid_fault_is_refused_with_what_would_be_right() {
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
