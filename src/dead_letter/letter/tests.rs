//! Letters written as lines and read back.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[allow(clippy::needless_pass_by_value, reason = "`json!` reads best without a reference")]
fn letter(headers: Value, body: &[u8]) -> Letter {
    Letter {
        headers: headers.as_object().unwrap().clone(),
        properties: json!({"content_type": "application/json"}).as_object().unwrap().clone(),
        routing_key: "acme.invalid_field".to_owned(),
        body: Bytes::copy_from_slice(body),
    }
}

#[test]
fn private_keys_in_headers_are_keys_like_any_other() {
    for value in [
        json!({"$serde_json::private::Number": "7"}),
        json!({"$serde_json::private::RawValue": "[1]"}),
        json!({"$serde_json::private::RawValue": "[1"}),
    ] {
        let letter = letter(json!({"freshet-account": "acme", "tenant": value}), b"{}");
        assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
    }
}

#[test]
fn a_body_is_written_as_json_where_the_same_bytes_are_read_back() {
    for (body, plain) in [
        (&br#"{"type":  "track", "type": "page", "n": 1.50}"#[..], true),
        (b"[1]", true),
        (b"{}", true),
        (b" {}", false),
        (b"{}\r", false),
        (b"{\r}", false),
        (b"{\n}", false),
        (b"null", false),
        (b"\"text\"", false),
        (b"\xff{}", false),
        ("{“type”".as_bytes(), false),
        (b"", false),
    ] {
        let letter = letter(json!({"freshet-account": "acme"}), body);
        let line = letter.to_line().unwrap();
        let shown: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(shown.get("body").is_some(), plain, "{body:?}");
        assert_eq!(shown.get("body_base64").is_some(), !plain, "{body:?}");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        assert_eq!(Letter::from_line(&line), Some(letter));
    }
}

#[test]
fn deeply_nested_bodies_are_read_back() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let letter = letter(json!({}), body.as_bytes());
    assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
}

#[test]
fn no_event_is_read_as_a_letter() {
    for line in [
        r#"{"type":"track","headers":{},"body":{}}"#,
        r#"{"headers":{"freshet-reason":"rejected"},"body":{"type":"track"},"type":"page"}"#,
        r#"{"headers":{},"body":{},"userId":"u"}"#,
        r#"{"headers":{}}"#,
        r#"{"headers":{},"body":null}"#,
        r#"{"body":{"type":"track"}}"#,
        r#"{"headers":[],"body":{}}"#,
        r#"{"headers":{},"body":{},"body_base64":"e30="}"#,
        r#"{"headers":{},"body_base64":"no base64"}"#,
        r#"{"headers":{},"headers":{},"body":{}}"#,
        r#"{"batch":[{"type":"track"}]}"#,
        "[]",
        "",
        "{",
    ] {
        assert_eq!(Letter::from_line(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn a_letter_needs_headers_and_a_body() {
    for (line, body) in [
        (r#"{"headers":{},"body":{"type":"track"}}"#, r#"{"type":"track"}"#),
        (r#" {"body" : {"a":1} , "routing_key":null, "headers":{} , "properties":null} "#, r#"{"a":1}"#),
        (r#"{"headers":{},"body_base64":"e30="}"#, "{}"),
        (r#"{"headers":{},"body":"{\"type\":\"track\"} "}"#, r#"{"type":"track"} "#),
    ] {
        assert_eq!(Letter::from_line(line.as_bytes()).unwrap().body, body, "{line}");
    }
}

#[test]
fn a_letter_s_account_is_that_of_its_routing_key_and_no_sender_can_name_another() {
    let of = |headers: Value, key: &str| {
        let letter = Letter { routing_key: key.to_owned(), ..letter(headers, b"{}") };
        (letter.origin().account.map(str::to_owned), letter.account().map(str::to_owned))
    };
    let named = |name: &str| Some(name.to_owned());
    let forged =
        json!({"freshet-account": "acme", "freshsales-account": "globex", "freshet-reason": "rejected"});
    let same = |name: &str| (named(name), named(name));
    assert_eq!(of(forged.clone(), "initech.delivery_limit"), same("initech"));
    assert_eq!(of(json!({"x-death": []}), "initech.delivery_limit"), same("initech"));
    // Without an account: the router looks for it.
    assert_eq!(of(forged.clone(), "_unrouted.unknown_account"), (None, named("globex")));
    assert_eq!(of(json!({"freshsales-account": 7}), "_unrouted.unknown_account"), (None, named("")));
    // Moved here, or written by hand.
    assert_eq!(of(forged, "segment.events"), same("acme"));
    assert_eq!(of(json!({"freshet-account": "acme"}), ""), (None, named("acme")));
    assert_eq!(of(json!({"freshsales-account": "globex"}), "by hand"), (None, named("globex")));
    for key in ["_unrouted.unknown_account", "segment.events", "initech", ""] {
        assert_eq!(of(json!({}), key), (None, None), "{key}");
    }
}

#[test]
fn replays_are_counted_up_whatever_the_header_says() {
    for (said, next) in [
        (json!({}), 1),
        (json!({REPLAYS: 2}), 3),
        (json!({REPLAYS: "2"}), 1),
        (json!({REPLAYS: -5}), 1),
        (json!({REPLAYS: i64::MAX}), i64::MAX),
    ] {
        assert_eq!(letter(said.clone(), b"{}").replays(), next, "{said}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_back(body: Vec<u8>, name in ".{0,20}", value in ".{0,20}") {
        let letter = letter(json!({name: value}), &body);
        prop_assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
    }

    #[test]
    fn any_json_is_read_back(text in r#"[ \t\r\n]{0,2}[\[{"][]a1,:{}" \\\r\n]{0,12}"#) {
        let letter = letter(json!({}), text.as_bytes());
        prop_assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
    }

    #[test]
    fn no_bytes_make_it_panic(line: Vec<u8>) {
        Letter::from_line(&line);
    }
}
