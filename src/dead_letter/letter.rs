//! A dead letter as one line of a file: `{headers, properties, routing_key, body}`. Pure.
//!
//! The file feed writes such lines, and reads them as events; `publish` reads them, too. `body` is the event itself if
//! that is a JSON object or array on one line; otherwise `body_base64` holds its bytes. So reading a line gives the same
//! bytes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::header_names::{self, REPLAYS};
use crate::delivery::UNROUTED;
use crate::json;
use crate::outcome::DeadLetterReason;
use crate::routing::ACCOUNT_HEADER;

/// A dead letter with everything that RabbitMQ would store of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Letter {
    /// The sender's, and those that say why the event was dead-lettered.
    pub headers: Map<String, Value>,
    /// AMQP's other properties, by their AMQP names; only those that are set.
    pub properties: Map<String, Value>,
    /// `<account>.<reason>`.
    pub routing_key: String,
    /// The same bytes that came.
    pub body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LetterOrigin<'a> {
    /// The account whose lane the event was in, and to which it is sent back. None: it goes to the intake.
    pub(crate) account: Option<&'a str>,
    /// None for a message that neither Freshet nor RabbitMQ dead-lettered.
    pub(crate) reason: Option<&'a str>,
    /// Its headers are Freshet's.
    pub(crate) by_freshet: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    headers: &'a Map<String, Value>,
    properties: &'a Map<String, Value>,
    routing_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// All parts are left unparsed: most lines are events, and reading one ends at the first key that a letter does not have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(borrow)]
    headers: &'a RawValue,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    routing_key: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    body_base64: Option<&'a RawValue>,
}

impl Letter {
    /// With its line break.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let body = plain(&self.body);
        let body_base64 = body.is_none().then(|| STANDARD.encode(&self.body));
        let Self { headers, properties, routing_key, .. } = self;
        let mut line = serde_json::to_vec(&Written { headers, properties, routing_key, body, body_base64 })?;
        line.push(b'\n');
        Ok(line)
    }

    /// `None` if the line holds something else.
    ///
    /// A letter has `headers`, either `body` or `body_base64`, and no other key than `properties` and `routing_key`. So no
    /// sender can make an event that is read as a letter: an event has a `type`.
    pub fn from_line(line: &[u8]) -> Option<Self> {
        let read: Read<'_> = serde_json::from_slice(line).ok()?;
        let body = match (read.body, read.body_base64) {
            (Some(body), None) => text_or_json(body),
            (None, Some(packed)) => {
                STANDARD.decode(serde_json::from_str::<String>(packed.get()).ok()?).ok()?
            }
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let table = |raw: &RawValue| match json::parse(raw.get().as_bytes()).ok()? {
            Value::Object(entries) => Some(entries),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        };
        Some(Self {
            headers: table(read.headers)?,
            properties: read.properties.map_or_else(|| Some(Map::new()), table)?,
            routing_key: match read.routing_key {
                Some(raw) => serde_json::from_str(raw.get()).ok()?,
                None => String::new(),
            },
            body: body.into(),
        })
    }

    /// Where the letter comes from. A letter has account and reason in its routing key, which Freshet or RabbitMQ made;
    /// headers may be a sender's own. They are asked where the key says nothing, because somebody moved the letter here from
    /// another queue.
    pub(crate) fn origin(&self) -> LetterOrigin<'_> {
        let text = |name: &str| self.headers.get(name).and_then(Value::as_str);
        let said = text(header_names::REASON);
        let by_key = self.routing_key.split_once('.').filter(|(_, reason)| is_reason(reason));
        if let Some((account, reason)) = by_key {
            let account = (account != UNROUTED).then_some(account);
            let by_freshet = said == Some(reason) && text(header_names::ACCOUNT) == account;
            return LetterOrigin { account, reason: Some(reason), by_freshet };
        }
        let reason = said.filter(|reason| is_reason(reason));
        let by_freshet = reason.is_some();
        LetterOrigin { account: text(header_names::ACCOUNT).filter(|_| by_freshet), reason, by_freshet }
    }

    /// The account that a file's letter goes to: that of its origin, else the one that a header names. A header that is no
    /// string yields an empty name, which no account has.
    pub(crate) fn account(&self) -> Option<&str> {
        let origin = self.origin();
        let ours = || self.headers.get(header_names::ACCOUNT).filter(|_| origin.reason.is_none());
        let named =
            || ours().map(|name| name.as_str().unwrap_or_default()).or_else(|| self.named_by_sender());
        origin.account.or_else(named)
    }

    /// The account that its sender named, as the router reads it: empty where the header is no string.
    pub(crate) fn named_by_sender(&self) -> Option<&str> {
        Some(self.headers.get(ACCOUNT_HEADER)?.as_str().unwrap_or_default())
    }

    /// How often the event has been sent back from the dead letters, this time included.
    pub(crate) fn replays(&self) -> i64 {
        let before = self.headers.get(REPLAYS).and_then(Value::as_i64).unwrap_or_default();
        before.max(0).saturating_add(1)
    }

    /// The sender's headers, without those that Freshet added.
    pub(crate) fn kept_headers(&self) -> Map<String, Value> {
        let kept = self.headers.iter().filter(|(name, _)| !header_names::is_of_one_delivery(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

fn is_reason(word: &str) -> bool {
    DeadLetterReason::ALL.iter().any(|reason| reason.as_str() == word)
}

/// The body as JSON, if it is read back from a line as the same bytes.
fn plain(body: &[u8]) -> Option<&RawValue> {
    let json: &RawValue = serde_json::from_slice(body).ok()?;
    let same = json.get().len() == body.len() && json.get().starts_with(['{', '[']);
    // Some programs end a line at a carriage return, too.
    (same && !json.get().contains(['\n', '\r'])).then_some(json)
}

/// The bytes of a `body`. A string holds the event as text: other programs write it so.
fn text_or_json(body: &RawValue) -> Vec<u8> {
    match serde_json::from_str::<String>(body.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => body.get().as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests;
