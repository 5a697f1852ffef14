//! A body's bytes as the text of one JSON object, or the refusal that says why they are none.

use serde::de::IgnoredAny;

use super::kind::Kind;
use super::malformed::{malformed, no_json, no_object, no_utf8};
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// The longest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1_048_576;

/// How deep arrays and objects may stand inside each other: what `serde_json` reads.
const DEEPEST: usize = 127;

/// Some programs on Windows write it before UTF-8, where it means nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The body as the text of one JSON object, all of it looked at and nothing of it kept.
pub(in crate::segment) fn object_text(body: &[u8]) -> Result<&str, Refusal> {
    if body.len() > BODY_LIMIT {
        return Err(Refusal::new(
            DeadLetterReason::TooLarge,
            Problem {
                problem: "the body is too large".into(),
                expected: Some(format!("at most {BODY_LIMIT} bytes")),
                got: Some(format!("{} bytes", body.len())),
                ..Problem::default()
            },
        ));
    }
    let body = unmarked(body);
    if body.is_empty() {
        return Err(malformed("the body is empty", None));
    }
    let text = std::str::from_utf8(body).map_err(|error| no_utf8(body, error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| no_json(text, &error))?;
    match Kind::of(text) {
        Kind::Object => Ok(text),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Array => Err(no_object(text)),
    }
}

/// The body behind its byte order mark, if it begins with one.
pub(in crate::segment) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Refuses too deep a nesting, which the parser passes over where it only skims, and would not read. `text` is JSON.
pub(in crate::segment) fn check_depth(text: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(malformed(format!("the body is nested deeper than {DEEPEST} levels"), None));
        }
    }
    Ok(())
}
