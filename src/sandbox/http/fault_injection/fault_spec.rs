//! A fault as `/_sandbox/faults` takes and shows it, and what makes one invalid.

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sandbox::http::endpoint::RequestTarget;
use crate::sandbox::http::response;

#[derive(Debug, Clone, PartialEq)]
pub(in crate::sandbox::http) enum Misbehaviour {
    /// In place of the API's answer.
    Answer { status: StatusCode, headers: HeaderMap, body: String },
    /// Before the API's answer.
    Delay(Duration),
    /// There is no answer, and the connection stays open.
    Hang,
    /// The connection is reset without an answer.
    Reset,
}

/// A fault as JSON. `docs/SANDBOX.md` explains the keys.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox::http) struct FaultSpec {
    pub(in crate::sandbox::http) endpoint: String,
    action: ActionSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox::http) containing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox::http) next: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox::http) share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox::http) seed: Option<u64>,
    #[serde(default)]
    pub(in crate::sandbox::http) after_effect: bool,
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

impl FaultSpec {
    /// The error says what is wrong, and what is expected.
    pub(in crate::sandbox::http) fn parse(value: &Value) -> Result<(Self, Misbehaviour), String> {
        let spec: Self = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
        let names = RequestTarget::names();
        let known = spec.endpoint == "*" || spec.endpoint.starts_with('/') || names.contains(&spec.endpoint);
        if !known {
            return Err(format!(
                "no endpoint is called {:?}; expected \"*\", the start of a path, or one of {}",
                spec.endpoint,
                names.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
        if let Some(share) = spec.share
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(format!("share is {share}; expected more than 0 and at most 1"));
        }
        if spec.containing.as_deref() == Some("") {
            return Err("containing is empty; leave it out to strike every request".to_owned());
        }
        if spec.seed.is_some() && spec.share.is_none() {
            return Err("seed is of no use without share".to_owned());
        }
        let misbehaviour = spec.action.parse()?;
        Ok((spec, misbehaviour))
    }
}

impl ActionSpec {
    fn parse(&self) -> Result<Misbehaviour, String> {
        let has_content = !self.headers.is_empty() || self.body.is_some();
        match (self.status, self.delay_ms, self.hang, self.reset) {
            (Some(status), None, None, None) => self.answer(status),
            (None, _, _, _) if has_content => Err("headers and body are of no use without status".to_owned()),
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
        let mut headers = HeaderMap::new();
        let body = match &self.body {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(body) => {
                headers.insert(CONTENT_TYPE, response::JSON);
                body.to_string()
            }
        };
        for (name, value) in &self.headers {
            let wrong =
                || format!("the header {name:?} cannot be sent: expected a name and a text of one line");
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
        }
        Ok(Misbehaviour::Answer { status, headers, body })
    }
}
