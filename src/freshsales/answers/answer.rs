//! Answers as they come in, and their bodies read. What they mean is decided elsewhere.

use std::time::Duration;

use serde_json::Value;

use super::limits::RateLimit;
use crate::json;

/// A response whose body has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What the headers say about the quota.
    pub rate_limit: RateLimit,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    #[expect(missing_docs, reason = "described at its type")]
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// JSON, as every answer of the API is.
    Json(Value),
    /// JSON under another content type: only something in front of the API answers so.
    Mislabelled(Value),
    /// Nothing but white space.
    Empty,
    /// A web page or other markup: from something in front of the API.
    Markup,
    /// Cut-off JSON, plain text, anything else.
    Unreadable,
    /// More than the client reads of an answer.
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

/// A response as it came. A JSON value takes many times the memory of its text, and hundreds of responses may wait for
/// their lanes at once: so each lane parses its own when its turn comes.
#[derive(Debug)]
pub struct RawResponse {
    pub(in crate::freshsales) status: u16,
    pub(in crate::freshsales) rate_limit: RateLimit,
    pub(in crate::freshsales) retry_after: Option<Duration>,
    pub(in crate::freshsales) label: BodyLabel,
    /// None if it is more than the client reads.
    pub(in crate::freshsales) body: Option<Vec<u8>>,
}

impl RawResponse {
    /// The body as it came; `None` if it is more than the client reads.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// Whether it may be about the account's secrets. It may also be about a right.
    pub fn may_refuse_secrets(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// Reads the body, which costs as much as parsing it.
    pub fn parse(self) -> Answer {
        let Self { status, rate_limit, retry_after, label, body } = self;
        let body = body.map_or(Body::TooLarge, |body| parse(&body, label));
        Answer { status, rate_limit, retry_after, body }
    }
}

/// What the content type says about a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::freshsales) enum BodyLabel {
    /// JSON, or nothing.
    MayBeJson,
    NotJson,
}

impl BodyLabel {
    pub(in crate::freshsales) fn of(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default().trim().to_ascii_lowercase();
        if content_type.is_empty() || content_type.contains("json") { Self::MayBeJson } else { Self::NotJson }
    }
}

/// How many bytes of a body are searched for the tags that a page starts with.
const MARKUP_SEARCH: usize = 1024;

fn parse(body: &[u8], label: BodyLabel) -> Body {
    // Windows servers and editors put a byte order mark first.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Body::Empty;
    }
    match (json::parse(body), label) {
        (Ok(json), BodyLabel::NotJson) => Body::Mislabelled(json),
        (Ok(json), BodyLabel::MayBeJson) => Body::Json(json),
        (Err(_), _) if is_markup(body) => Body::Markup,
        (Err(_), _) => Body::Unreadable,
    }
}

/// Whether it is a web page or XML, in UTF-8 or UTF-16.
fn is_markup(body: &[u8]) -> bool {
    let start = body.get(..MARKUP_SEARCH).unwrap_or(body);
    // In UTF-16 every other byte of a page's tags is 0.
    let start: Vec<u8> = start.iter().copied().filter(|byte| *byte != 0 && byte.is_ascii()).collect();
    let start = String::from_utf8_lossy(&start).to_ascii_lowercase();
    start.trim_start().starts_with('<')
        || ["<html", "<!doctype", "<head", "<body", "<title", "<script"].iter().any(|tag| start.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::BodyLabel::{MayBeJson, NotJson};
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_body_is_recognised() {
        let utf16: Vec<u8> = "\u{feff}<!DOCTYPE html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let page: &[&[u8]] = &[
            b"<html>",
            b" \r\n\t<!DOCTYPE html><title>Sign in</title>",
            b"\xef\xbb\xbf<html>",
            b"\xef\xbb\xbf\xef\xbb\xbf\n<html>",
            b"\xc2\xa0<?xml version=\"1.0\"?>",
            b"while(1);<HTML><body>",
            &utf16,
        ];
        for body in page {
            assert_eq!(parse(body, MayBeJson), Body::Markup, "{body:?}");
        }
        for body in [&b""[..], b" \n", b"\xef\xbb\xbf"] {
            assert_eq!(parse(body, MayBeJson), Body::Empty);
        }
        for body in [&b"OK"[..], b"{\"contact\":{", b"error code: 1020", b"1 < 2", b"\xff\xd8"] {
            assert_eq!(parse(body, MayBeJson), Body::Unreadable, "{body:?}");
        }
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":1}", MayBeJson), Body::Json(json!({"a": 1})));
        assert_eq!(parse(b"{\"a\":1}", NotJson), Body::Mislabelled(json!({"a": 1})));
        let private =
            json!({"a": {"$serde_json::private::RawValue": "["}, "b": {"$serde_json::private::Number": "7"}});
        assert_eq!(parse(private.to_string().as_bytes(), MayBeJson), Body::Json(private));
        for (kind, expected) in [
            ("application/json; charset=utf-8", MayBeJson),
            ("application/problem+json", MayBeJson),
            ("text/html", NotJson),
            ("Text/Plain", NotJson),
            ("", MayBeJson),
        ] {
            assert_eq!(BodyLabel::of(Some(kind)), expected, "{kind}");
        }
    }
}
