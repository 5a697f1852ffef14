//! What the fuzz tests share: they feed a property as many inputs as `PROPTEST_CASES` says, 256 where it says
//! nothing, tell how many those were, and make their inputs of the same parts. Only tests see it.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Map, Value};

/// Stands in values that must not be told to anybody.
pub(crate) const MARK: &str = "Zq7x";

/// Feeds a property, and fails with the smallest input that breaks it.
pub(crate) fn feed<S: Strategy>(property: &str, inputs: &S, holds: impl Fn(S::Value) -> TestCaseResult) {
    let fed = Cell::new(0_u64);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let result = runner.run(inputs, |input| {
        fed.set(fed.get() + 1);
        holds(input)
    });
    if let Err(error) = result {
        panic!("{property}: {error}");
    }
    println!("{property}: {} inputs", fed.get());
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index),
    Put(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, u8),
    Repeat(Index, u8, u8),
    /// Brackets around what follows, by the hundred.
    Nest(Index, u8, bool),
    Move(Index, Index, u8),
}

/// What breaks parsers of JSON, and of what is written in it.
const JSON_PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\\u00",
    b"null",
    b"true",
    b"-0",
    b"1e999999",
    b"-1E-99999",
    b"1.",
    b"123456789012345678901234567890",
    b"18446744073709551615",
    b"NaN",
    b"//",
    b"\"\":",
    b"\xe2\x80\x9c",
    b"{\"$serde_json::private::Number\":\"1\"}",
    b"{\"$serde_json::private::Number\":\"x\"}",
    b"{\"$serde_json::private::RawValue\":\"[]\"}",
    b"\"$serde_json::private::Number\":\"7\",",
];

fn change(pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Change::Cut),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        6 => (at(), select(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        3 => (at(), any::<u8>()).prop_map(|(at, length)| Change::Remove(at, length % 24)),
        1 => (at(), any::<u8>(), any::<u8>()).prop_map(|(at, length, times)| Change::Repeat(at, length % 32, times % 5)),
        1 => (at(), any::<u8>(), any::<bool>()).prop_map(|(at, depth, list)| Change::Nest(at, depth, list)),
        2 => (at(), at(), any::<u8>()).prop_map(|(from, to, length)| Change::Move(from, to, length % 48)),
    ]
}

fn changed(mut text: Vec<u8>, change: &Change) -> Vec<u8> {
    let place = |at: &Index, text: &[u8]| at.index(text.len() + 1);
    let span = |start: usize, length: u8, text: &[u8]| start..(start + usize::from(length)).min(text.len());
    match change {
        Change::Cut(at) => text.truncate(place(at, &text)),
        Change::Put(at, byte) => {
            let at = place(at, &text);
            if let Some(place) = text.get_mut(at) {
                *place = *byte;
            }
        }
        Change::Insert(at, piece) => {
            let at = place(at, &text);
            text.splice(at..at, piece.iter().copied());
        }
        Change::Remove(at, length) => {
            let range = span(place(at, &text), *length, &text);
            text.drain(range);
        }
        Change::Repeat(at, length, times) => {
            let range = span(place(at, &text), *length, &text);
            let piece = text[range.clone()].repeat(usize::from(*times));
            text.splice(range.start..range.start, piece);
        }
        Change::Nest(at, depth, list) => {
            let at = place(at, &text);
            let opening: &[u8] = if *list { b"[" } else { b"{\"a\":" };
            text.splice(at..at, opening.repeat(usize::from(*depth)));
        }
        Change::Move(from, to, length) => {
            let range = span(place(from, &text), *length, &text);
            let piece: Vec<u8> = text.drain(range).collect();
            let to = place(to, &text);
            text.splice(to..to, piece);
        }
    }
    text
}

/// One of these texts, with up to five changes: mostly almost what it was.
pub(crate) fn altered(
    originals: &'static [&'static str],
    pieces: &'static [&'static [u8]],
) -> impl Strategy<Value = Vec<u8>> {
    (select(originals), prop::collection::vec(change(pieces), 0..6))
        .prop_map(|(original, changes)| changes.iter().fold(original.as_bytes().to_vec(), changed))
}

/// One of these JSON texts, altered.
pub(crate) fn almost_json(originals: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    altered(originals, JSON_PIECES)
}

/// Any JSON value; its objects use these keys, which mean something to its reader.
pub(crate) fn any_json(keys: &'static [&'static str]) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (0_u16..600).prop_map(Value::from),
            select(&["1e400", "-0", "0.1", "123456789012345678901234567890"][..])
                .prop_map(|digits| serde_json::from_str(digits).unwrap_or_default()),
        ],
        2 => any_text().prop_map(Value::from),
        1 => select(keys).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::vec((any_key(keys), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
    .boxed()
}

/// Marks a third of the strings that are values; the others may mean something as they are.
pub(crate) fn marked(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() % 3 == 0 => Value::String(format!("{text}{MARK}")),
        Value::Array(items) => items.into_iter().map(marked).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, marked(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn any_key(keys: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![9 => select(keys).prop_map(str::to_owned), 1 => any_text()]
}

/// A short text of characters that are treated in their own way somewhere.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    const CHARACTERS: &[char] = &[
        'a',
        'Z',
        '0',
        '9',
        ' ',
        '_',
        '-',
        '.',
        ',',
        ';',
        ':',
        '/',
        '\\',
        '@',
        '%',
        '?',
        '#',
        '&',
        '=',
        '<',
        '"',
        '\'',
        '\0',
        '\n',
        '\r',
        '\t',
        '\u{1b}',
        '\u{7f}',
        'é',
        'ß',
        'İ',
        'ŉ',
        '\u{301}',
        '\u{202e}',
        '\u{feff}',
        '名',
        '\u{1f600}',
        '\u{10ffff}',
        '[',
        ']',
        '{',
        '}',
        '(',
        '+',
        '*',
    ];
    prop::collection::vec(select(CHARACTERS), 0..12).prop_map(|characters| characters.into_iter().collect())
}
