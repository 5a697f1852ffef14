//! Refusals of bodies that are not one JSON object, with a guess at what the sender did wrong. They name kinds,
//! positions and words of programming languages, never a part of the body: it may be personal data.

use super::kind::{JsonKind, describe_text};
use crate::outcome::{DeadLetterReason, Problem, Refusal};

const ONE_OBJECT: &str = "one JSON object in UTF-8, its names and strings in straight double quotes";

/// Some programs on Windows write it before UTF-8, where it has no meaning.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Literals of other languages, in lower case, and how they are reported.
const FOREIGN: [(&str, &str); 7] = [
    ("nan", "NaN"),
    ("infinity", "Infinity"),
    ("inf", "Infinity"),
    ("undefined", "undefined"),
    ("none", "None"),
    ("true", "True"),
    ("false", "False"),
];

pub(in crate::segment) fn malformed(problem: impl Into<String>, got: Option<String>) -> Refusal {
    Refusal::new(
        DeadLetterReason::MalformedJson,
        Problem { problem: problem.into(), expected: Some(ONE_OBJECT.into()), got, ..Problem::default() },
    )
}

/// `valid`: the number of bytes before the first that is not UTF-8.
pub(in crate::segment) fn no_utf8(body: &[u8], valid: usize) -> Refusal {
    match encoding(body) {
        Some(encoding) => malformed(format!("the body looks like {encoding}"), None),
        None => malformed(format!("the body is not UTF-8 from byte {valid} on"), None),
    }
}

pub(in crate::segment) fn no_json(text: &str, error: &serde_json::Error) -> Refusal {
    if let Some(encoding) = encoding(text.as_bytes()) {
        return malformed(format!("the body looks like {encoding}"), None);
    }
    let (line, column) = (error.line(), error.column());
    let found = split_at_position(text, line, column);
    if found.is_some_and(|(_, rest)| rest.starts_with(BYTE_ORDER_MARK)) {
        let problem = format!(
            "the body is not JSON: a byte order mark elsewhere than at the start, at line {line} column {column}"
        );
        return malformed(problem, None);
    }
    if let Some(word) = found.and_then(|(before, rest)| foreign(before, rest)) {
        return malformed(
            format!("the body is not JSON: {word} is no JSON value, at line {line} column {column}"),
            None,
        );
    }
    if line > 1 && found.is_some_and(|(before, rest)| rest.starts_with('{') && is_one_value(before)) {
        return malformed(
            "the body holds several JSON values, one a line: each is a message of its own",
            None,
        );
    }
    // The parser's message names a position and a rule of JSON, never a part of the body.
    malformed(format!("the body is not JSON: {error}"), None)
}

pub(in crate::segment) fn no_object(text: &str) -> Refusal {
    let got = Some(describe_text(text));
    match JsonKind::of(text) {
        JsonKind::Array => Refusal::new(
            DeadLetterReason::MalformedJson,
            Problem {
                problem: "the body is an array where one event belongs".into(),
                expected: Some(
                    "one JSON object; arrays are split on the intake queue, and not within one another"
                        .into(),
                ),
                got,
                ..Problem::default()
            },
        ),
        JsonKind::Text if ["\"{", "\"["].iter().any(|start| text.trim_start().starts_with(start)) => {
            malformed("the body is a JSON string that holds JSON: it was encoded twice", got)
        }
        JsonKind::Null | JsonKind::Bool | JsonKind::Number | JsonKind::Text | JsonKind::Object => {
            malformed("the body is JSON, but no object", got)
        }
    }
}

/// The compression or encoding that the first bytes look like.
fn encoding(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1F, 0x8B, ..] => Some("gzip data, which is packed twice or lacks its content_encoding"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => {
            Some("zstd data, which is packed twice or lacks its content_encoding")
        }
        [0x78, 0x01 | 0x9C | 0xDA, ..] => {
            Some("zlib data, which is packed twice or lacks its content_encoding")
        }
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] | [_, 0, 0, 0, ..] | [0, 0, 0, _, ..] => {
            Some("UTF-32")
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [_, 0, ..] | [0, _, ..] => Some("UTF-16"),
        _ => None,
    }
}

fn is_one_value(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The text before and after the position of a parser's error.
fn split_at_position(text: &str, line: usize, column: usize) -> Option<(&str, &str)> {
    let lines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(lines).nth(line.checked_sub(1)?)?;
    text.split_at_checked(start.checked_add(column.checked_sub(1)?)?)
}

/// The foreign literal around the end of `before`.
fn foreign(before: &str, rest: &str) -> Option<&'static str> {
    const LONGEST_WORD: usize = 10;
    let letter = |c: &char| c.is_ascii_alphabetic();
    let mut word: Vec<char> = before.chars().rev().take_while(letter).take(LONGEST_WORD).collect();
    word.reverse();
    word.extend(rest.chars().take_while(letter).take(LONGEST_WORD));
    let word = word.into_iter().collect::<String>();
    FOREIGN.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(&word)).map(|(_, name)| name)
}
