//! A replay as a client asks for it: a JSON object, or the form of the page. Pure.

use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded;

use crate::dead_letter::LetterFilter;
use crate::delivery::UNROUTED;
use crate::outcome::DeadLetterReason;

/// What an order may hold, for who writes another key.
const ORDER_KEYS: &str = "account, reason, trait, type, message_id, since, until, limit, max_replays, rate";

/// Which letters are to be sent back, and how fast.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ReplayOrder {
    pub(super) filter: LetterFilter,
    /// Letters a second.
    pub(super) rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrderError {
    #[error("expected a JSON object of filters, such as {{\"account\": \"acme\"}}; {{}} means all letters")]
    NoObject,
    #[error("{key}: there is no such filter; there are: {ORDER_KEYS}")]
    UnknownKey { key: String },
    #[error("{key}: {why}")]
    WrongValue { key: String, why: String },
}

impl OrderError {
    /// The key that is wrong, if it is about one.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::NoObject => None,
            Self::UnknownKey { key } | Self::WrongValue { key, .. } => Some(key),
        }
    }

    fn wrong(key: &str, why: impl Into<String>) -> Self {
        Self::WrongValue { key: key.to_owned(), why: why.into() }
    }
}

impl ReplayOrder {
    /// From a JSON object. Keys that are null count as absent.
    pub(super) fn from_json(body: &[u8], known: impl Fn(&str) -> bool) -> Result<Self, OrderError> {
        let Ok(Value::Object(mut keys)) = serde_json::from_slice(body) else {
            return Err(OrderError::NoObject);
        };
        let rate = keys.shift_remove("rate").filter(|rate| !rate.is_null());
        let rate = rate.map(|rate| match &rate {
            Value::String(text) => self::rate(text),
            Value::Number(number) => self::rate(&number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(wrong_rate()),
        });
        let rate = rate.transpose()?;
        if let Some(key) = keys.keys().find(|key| !ORDER_KEYS.split(", ").any(|known| known == *key)) {
            return Err(OrderError::UnknownKey { key: key.clone() });
        }
        // One by one, so that the answer says which one is wrong.
        for (key, value) in &keys {
            let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
            if let Err(error) = serde_json::from_value::<LetterFilter>(alone) {
                let why = if ["limit", "max_replays"].contains(&key.as_str()) {
                    "expected a whole number".to_owned()
                } else {
                    error.to_string()
                };
                return Err(OrderError::wrong(key, why));
            }
        }
        let filter = serde_json::from_value(Value::Object(keys)).map_err(|_| OrderError::NoObject)?;
        checked(Self { filter, rate }, known)
    }

    /// From the fields of a form, of which those that were left empty count as absent.
    pub(super) fn from_form(body: &[u8], known: impl Fn(&str) -> bool) -> Result<Self, OrderError> {
        let mut order = Self::default();
        for (key, value) in form_urlencoded::parse(body) {
            let value = value.trim().to_owned();
            if value.is_empty() {
                continue;
            }
            match &*key {
                "account" => order.filter.account = Some(value),
                "reason" => order.filter.reason = Some(value),
                "trait" => order.filter.trait_path = Some(value),
                "limit" => order.filter.limit = Some(number(&key, &value)?),
                "rate" => order.rate = Some(rate(&value)?),
                _ => return Err(OrderError::UnknownKey { key: key.into_owned() }),
            }
        }
        checked(order, known)
    }
}

/// `known`: whether an account is in the configuration.
fn checked(order: ReplayOrder, known: impl Fn(&str) -> bool) -> Result<ReplayOrder, OrderError> {
    let filter = &order.filter;
    if let Some(account) = filter.account.as_deref().filter(|account| *account != UNROUTED && !known(account))
    {
        let why = format!(
            "{account:?} is not in the configuration of this replica, so its letters have nowhere to go; {UNROUTED} stands \
             for those without an account"
        );
        return Err(OrderError::wrong("account", why));
    }
    let is_reason = |word: &str| DeadLetterReason::ALL.iter().any(|reason| reason.as_str() == word);
    if filter.reason.as_deref().is_some_and(|reason| !is_reason(reason)) {
        let words: Vec<&str> = DeadLetterReason::ALL.iter().map(|reason| reason.as_str()).collect();
        return Err(OrderError::wrong(
            "reason",
            format!("there is no such reason; there are: {}", words.join(", ")),
        ));
    }
    if filter.limit == Some(0) {
        return Err(OrderError::wrong("limit", "expected a number of letters from 1"));
    }
    let now = Timestamp::now();
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since.resolve(now) >= until.resolve(now)
    {
        return Err(OrderError::wrong("until", "must be later than since: no letter is in between"));
    }
    Ok(order)
}

fn number(key: &str, text: &str) -> Result<u64, OrderError> {
    text.parse().map_err(|_| OrderError::wrong(key, "expected a whole number"))
}

/// Letters a second, as `50/s` or `50`.
fn rate(text: &str) -> Result<f64, OrderError> {
    let number = text.strip_suffix("/s").unwrap_or(text).trim().parse::<f64>().ok();
    number.filter(|rate| (0.01..=100_000.0).contains(rate)).ok_or_else(wrong_rate)
}

fn wrong_rate() -> OrderError {
    OrderError::wrong("rate", "expected letters a second from 0.01 to 100000, such as 50 or \"50/s\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(account: &str) -> bool {
        account == "acme"
    }

    #[test]
    fn every_filter_can_be_given_and_null_is_none() {
        let json =
            br#"{"account":"acme","reason":"rejected","trait":"cfPlan","type":"identify","message_id":"m-1",
            "since":"3d","until":"2h","limit":5,"max_replays":2,"rate":"50/s"}"#;
        let ReplayOrder { filter, rate } = ReplayOrder::from_json(json, known).unwrap();
        assert_eq!(
            filter.to_string(),
            "--account acme --reason rejected --trait cfPlan --type identify --message-id m-1 --since 72h --until 2h \
             --max-replays 2 --limit 5"
        );
        assert_eq!(rate, Some(50.0));
        for all in ["{}", r#"{"account":null,"rate":null,"limit":null}"#] {
            assert_eq!(ReplayOrder::from_json(all.as_bytes(), known), Ok(ReplayOrder::default()), "{all}");
        }
        let unrouted = ReplayOrder::from_json(br#"{"account":"_unrouted","rate":0.5}"#, known).unwrap();
        assert_eq!((unrouted.filter.account.as_deref(), unrouted.rate), (Some("_unrouted"), Some(0.5)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for (json, key, says) in [
            ("", None, "expected a JSON object"),
            ("[]", None, "expected a JSON object"),
            ("{", None, "expected a JSON object"),
            (r#"{"acount":"acme"}"#, Some("acount"), "there are: account, reason"),
            (r#"{"account":"globex"}"#, Some("account"), "not in the configuration"),
            (r#"{"account":7}"#, Some("account"), "expected a string"),
            (r#"{"reason":"rejcted"}"#, Some("reason"), "rejected"),
            (r#"{"trait":["a"]}"#, Some("trait"), "expected a string"),
            (r#"{"limit":0}"#, Some("limit"), "from 1"),
            (r#"{"limit":-1}"#, Some("limit"), "whole number"),
            (r#"{"limit":"5"}"#, Some("limit"), "whole number"),
            (r#"{"max_replays":1.5}"#, Some("max_replays"), "whole number"),
            (r#"{"since":"soon"}"#, Some("since"), "such as 2h or 3d"),
            (r#"{"since":"2h","until":"3d"}"#, Some("until"), "later than since"),
            (r#"{"rate":0}"#, Some("rate"), "letters a second"),
            (r#"{"rate":"fast"}"#, Some("rate"), "letters a second"),
            (r#"{"rate":true}"#, Some("rate"), "letters a second"),
            (r#"{"if_valid":true}"#, Some("if_valid"), "no such filter"),
        ] {
            let error = ReplayOrder::from_json(json.as_bytes(), known).unwrap_err();
            assert_eq!(error.key(), key, "{json}: {error}");
            assert!(error.to_string().contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn a_form_names_a_group_and_empty_fields_are_none() {
        let body = b"account=acme&reason=invalid_custom_field&trait=cf+plan&limit=&rate=+5+";
        let ReplayOrder { filter, rate } = ReplayOrder::from_form(body, known).unwrap();
        assert_eq!(filter.to_string(), "--account acme --reason invalid_custom_field --trait cf plan");
        assert_eq!(rate, Some(5.0));
        for (body, key) in [
            ("account=globex", "account"),
            ("account=acme&reason=x", "reason"),
            ("account=acme&limit=many", "limit"),
            ("account=acme&rate=fast", "rate"),
            ("account=acme&drop=1", "drop"),
        ] {
            assert_eq!(
                ReplayOrder::from_form(body.as_bytes(), known).unwrap_err().key(),
                Some(key),
                "{body}"
            );
        }
    }
}
