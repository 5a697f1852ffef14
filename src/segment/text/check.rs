//! A body's bytes as the text of one JSON object, or the refusal that says why they are none.

use serde::de::IgnoredAny;

use super::kind::JsonKind;
use super::malformed::{BYTE_ORDER_MARK, malformed, no_json, no_object, no_utf8};
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// The longest body of one event, in bytes.
pub const BODY_LIMIT: usize = 1_048_576;

/// How deep arrays and objects may nest: `serde_json` reads no deeper.
pub(super) const DEEPEST_JSON: usize = 127;

/// The text of a body that is one JSON object. The whole body is checked, and no value is built.
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
    match JsonKind::of(text) {
        JsonKind::Object => Ok(text),
        JsonKind::Null | JsonKind::Bool | JsonKind::Number | JsonKind::Text | JsonKind::Array => {
            Err(no_object(text))
        }
    }
}

/// The body without a byte order mark.
pub(in crate::segment) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(body)
}

/// The same for a body of which values are built: it is not nested too deep for that. The parser does not notice while it
/// skips values.
pub(super) fn readable_text(body: &[u8]) -> Result<&str, Refusal> {
    let text = object_text(body)?;
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
        if depth > DEEPEST_JSON {
            return Err(malformed(format!("the body is nested deeper than {DEEPEST_JSON} levels"), None));
        }
    }
    Ok(text)
}

/// Why decoding cannot read a body.
pub(in crate::segment) fn refusal(body: &[u8]) -> Refusal {
    readable_text(body).err().unwrap_or_else(|| malformed("the body is not JSON", None))
}
