//! Every rule of the envelope, and that no bytes make decoding panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::segment::{BODY_LIMIT, JsonMap};

/// Decodes borrowed bytes.
fn decode(body: &[u8]) -> Result<Event, Undelivered> {
    super::decode(&Bytes::copy_from_slice(body))
}

fn decoded(body: &Value) -> Result<Event, Undelivered> {
    decode(body.to_string().as_bytes())
}

fn values(traits: &Traits) -> JsonMap {
    traits.read().iter().map(|(key, value)| (key.to_owned(), value.to_value())).collect()
}

fn refusal(body: &[u8]) -> Refusal {
    match decode(body) {
        Err(Undelivered::Refuse(refusal)) => refusal,
        other => panic!("expected a refusal of {}, got {other:?}", String::from_utf8_lossy(body)),
    }
}

/// A valid identify with these keys set.
fn identify(keys: &Value) -> Value {
    let mut body = json!({"type": "identify", "userId": "u1"});
    for (key, value) in keys.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_full_event_is_read_whole() {
    let event = decoded(&json!({
        "type": "identify", "userId": "  u1 ", "messageId": "m1", "anonymousId": "a1",
        "channel": "server", "version": 2, "writeKey": "wk", "projectId": "p",
        "traits": {"zeta": 1, "alpha": 2}, "context": {"ip": "::1"}, "integrations": {"All": true},
        "timestamp": "2024-02-29T10:00:00+02:00", "originalTimestamp": "yesterday",
        "sentAt": 1_700_000_000, "receivedAt": "2024-02-29T08:00:01Z",
    }))
    .unwrap();
    assert_eq!(event.event_type(), EventType::Identify);
    assert_eq!(event.user_id.as_deref(), Some("u1"));
    assert_eq!(event.message_id.as_deref(), Some("m1"));
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
    let traits = values(&traits);
    assert_eq!(traits.keys().collect::<Vec<_>>(), ["zeta", "alpha"]);
}

#[test]
fn what_is_not_one_json_object_is_malformed() {
    let deep = format!("{{\"type\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let cases: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"[]",
        b"\"identify\"",
        b"12",
        b"{",
        b"{}{}",
        b"{'type':'identify'}",
        b"{\"type\":\"identify\xff\"}",
        b"{\"a\":01}",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        deep.as_bytes(),
    ];
    for body in cases {
        let refusal = refusal(body);
        assert_eq!(refusal.reason, DeadLetterReason::MalformedJson, "{}", String::from_utf8_lossy(body));
        assert!(refusal.problems[0].expected.is_some());
    }
}

#[test]
fn surrogate_pairs_and_escaped_backslashes_are_read() {
    let body = br#"{"type":"track","event":"e","userId":"u","properties":{"\ud83d\ude00":"\u00e9\\ud800","b":"\\"}}"#;
    let Payload::Track { properties, .. } = decode(body).unwrap().payload else { panic!("not a track") };
    assert_eq!(properties.as_str(), r#"{"\ud83d\ude00":"\u00e9\\ud800","b":"\\"}"#);
}

#[test]
fn a_malformed_bodys_problem_names_the_position_and_no_content() {
    let refusal = refusal(b"{\"type\":\"identify\",\n \"secret\" \"hunter2\"}");
    let reported = format!("{:?}", refusal.problems);
    assert!(reported.contains("line 2 column"), "{reported}");
    assert!(!reported.contains("secret") && !reported.contains("hunter2"), "{reported}");
}

#[test]
fn typographic_quotes_are_malformed_and_straight_ones_decode() {
    let pasted = "{\n \"type\": \"page\",\n \"userId\": \"ada@example.com\",\n \"name\": “Pricing”,\n \
                  \"properties\": {\n \"url\": \"https://example.com/pricing\"\n}\n";
    assert_eq!(refusal(pasted.as_bytes()).reason, DeadLetterReason::MalformedJson);
    let straight = pasted.replace(['“', '”'], "\"");
    assert_eq!(refusal(straight.as_bytes()).reason, DeadLetterReason::MalformedJson, "a brace is missing");
    let event = decode(format!("{straight}}}").as_bytes()).unwrap();
    let Payload::Page { name, url, .. } = event.payload else { panic!("not a page") };
    assert_eq!(name.as_deref(), Some("Pricing"));
    assert_eq!(url, "https://example.com/pricing");
}

#[test]
fn the_limit_is_exact() {
    let frame = identify(&json!({"traits": {"a": ""}})).to_string();
    let fill =
        |len: usize| frame.replace(r#""a":"""#, &format!(r#""a":"{}""#, "x".repeat(len - frame.len())));
    assert!(decode(fill(BODY_LIMIT).as_bytes()).is_ok());
    assert_eq!(refusal(fill(BODY_LIMIT + 1).as_bytes()).reason, DeadLetterReason::TooLarge);
}

#[test]
fn numbers_stay_exact_and_may_be_huge() {
    let body = br#"{"type":"identify","userId":90071992547409931234,"traits":{"a":1e400,"b":9007199254740993,"c":1.10}}"#;
    let event = decode(body).unwrap();
    assert_eq!(event.user_id.as_deref(), Some("90071992547409931234"));
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
    let traits = values(&traits);
    assert_eq!(traits["a"].to_string(), "1e+400");
    assert_eq!(traits["b"].to_string(), "9007199254740993");
    assert_eq!(traits["c"].to_string(), "1.10");
}

#[test]
fn the_parsers_private_keys_are_ordinary_keys() {
    let mut nested = "1".to_owned();
    for _ in 0..6 {
        nested = format!(r#"{{"$serde_json::private::RawValue":{}}}"#, json!(nested));
    }
    let body = format!(r#"{{"type":"identify","userId":"u","traits":{nested}}}"#);
    let Payload::Identify { traits } = decode(body.as_bytes()).unwrap().payload else {
        panic!("not an identify")
    };
    let traits = values(&traits);
    assert!(traits["$serde_json::private::RawValue"].is_string());
    let event =
        decoded(&identify(&json!({"traits": {"a": {"$serde_json::private::Number": "no"}}}))).unwrap();
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
    let traits = values(&traits);
    assert!(traits["a"].is_object());
}

#[test]
fn unsupported_types_are_skipped_whatever_else_is_wrong() {
    for word in ["screen", "group", "alias", "Identify", "", "page "] {
        let outcome = decoded(&json!({"type": word, "userId": [], "context": 5}));
        assert_eq!(outcome, Err(Undelivered::Skip(SkipReason::UnsupportedType)), "{word:?}");
    }
}

#[test]
fn wrong_kinds_are_all_named() {
    let body = json!({
        "type": "page", "messageId": 1, "userId": 1.5, "anonymousId": {}, "channel": true, "version": [],
        "writeKey": 2, "projectId": 3, "context": "x", "integrations": [0], "traits": 4, "properties": 5,
        "name": 6, "category": 7,
    });
    let refusal = refusal(body.to_string().as_bytes());
    assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
    let named: Vec<_> = refusal.problems.iter().filter_map(|problem| problem.trait_path.as_deref()).collect();
    assert_eq!(
        named,
        [
            "messageId",
            "userId",
            "anonymousId",
            "channel",
            "version",
            "writeKey",
            "projectId",
            "context",
            "integrations",
            "traits",
            "properties",
            "name",
            "category",
            "properties.url",
        ]
    );
    for bad in
        [json!({"userId": "u"}), json!({"type": null}), json!({"type": 5}), json!({"type": ["identify"]})]
    {
        let refusal = self::refusal(bad.to_string().as_bytes());
        assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
        assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("type"));
    }
}

#[test]
fn null_means_absent() {
    let nulls = identify(&json!({
        "messageId": null, "anonymousId": null, "channel": null, "version": null, "writeKey": null,
        "projectId": null, "context": null, "integrations": null, "traits": null, "properties": null,
        "timestamp": null,
    }));
    let bare = decoded(&identify(&json!({}))).unwrap();
    assert_eq!(decoded(&nulls).unwrap(), bare);
    assert_eq!(decoded(&identify(&json!({"messageId": " \t"}))).unwrap(), bare);
}

#[test]
fn a_user_id_is_text_or_a_whole_number() {
    for (written, user_id, placeholder) in [
        ("null", None, None),
        ("\"\"", None, None),
        ("\"  \\n\"", None, None),
        ("-7", Some("-7"), None),
        ("12345.0", Some("12345"), None),
        ("1e5", Some("100000"), None),
        ("90071992547409931234.0", Some("90071992547409931234"), None),
        ("\"12345.0\"", Some("12345.0"), None),
        ("0", None, Some("0")),
        ("-0.0", None, Some("0")),
        ("\" Undefined \"", None, Some("undefined")),
        ("\"[object Object]\"", None, Some("[object object]")),
        ("\"{}\"", None, Some("{}")),
        ("\"guest\"", None, Some("guest")),
        ("\"guest house\"", Some("guest house"), None),
    ] {
        for start in [r#""type":"identify""#, r#""type":"track","event":"E""#] {
            let event = decode(format!(r#"{{{start},"userId":{written}}}"#).as_bytes()).unwrap();
            assert_eq!((event.user_id.as_deref(), event.placeholder), (user_id, placeholder), "{written}");
        }
    }
    for wrong in ["1.5", "1e400", "1e-3", "true", "[]", "{}"] {
        let refusal = refusal(format!(r#"{{"type":"identify","userId":{wrong}}}"#).as_bytes());
        assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent, "{wrong}");
        assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("userId"));
    }
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    let event =
        decode(br#"{"type":"identify","userId":"\ud800","traits":{"\udc00":"a\ud83d","b":"\ud83d\ude00"}}"#);
    let event = event.unwrap();
    assert_eq!(event.user_id.as_deref(), Some("\u{fffd}"));
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
    let traits = values(&traits);
    assert_eq!(Value::Object(traits), json!({"\u{fffd}": "a\u{fffd}", "b": "\u{1f600}"}));
    let body = br#"{"type":"track","event":"\udfff","userId":"u","properties":{"\udc00\ud800":["x\ud83d","\\ud800"]},
        "context":{"traits":{"a":"\ud83d\n\ude00"}}}"#;
    let event = decode(body).unwrap();
    assert_eq!(event.context_traits.unwrap().as_str(), r#"{"a":"\ufffd\n\ufffd"}"#);
    let Payload::Track { event, properties } = event.payload else { panic!("not a track") };
    assert_eq!(event, "\u{fffd}");
    assert_eq!(properties.as_str(), r#"{"\ufffd\ufffd":["x\ufffd","\\ud800"]}"#);
}

#[test]
fn a_byte_order_mark_at_the_start_is_passed_over() {
    let body = identify(&json!({"traits": {"a": 1}, "context": {"b": 2}})).to_string();
    assert_eq!(decode(format!("\u{feff}{body}").as_bytes()), decode(body.as_bytes()));
}

#[test]
fn phps_empty_arrays_are_empty_objects() {
    let bare = decoded(&identify(&json!({}))).unwrap();
    let empty = identify(&json!({"traits": [], "properties": [], "context": [], "integrations": []}));
    assert_eq!(decoded(&empty).unwrap(), bare);
    assert_eq!(decode(br#"{"type":"identify","userId":"u1","traits": [ ] }"#).unwrap(), bare);
    for wrong in [json!([null]), json!([{}]), json!(""), json!(false)] {
        let body = identify(&json!({"traits": wrong}));
        assert_eq!(refusal(body.to_string().as_bytes()).reason, DeadLetterReason::InvalidEvent, "{wrong}");
    }
}

#[test]
fn the_contexts_traits_fill_in_for_missing_ones() {
    let traits = |own: Value, further: Value| {
        let body = identify(&json!({"traits": own, "context": {"traits": further}}));
        let Payload::Identify { traits } = decoded(&body).unwrap().payload else { panic!("not an identify") };
        let traits = values(&traits);
        Value::Object(traits)
    };
    for (own, further, expected) in [
        (json!(null), json!({"a": 1}), json!({"a": 1})),
        (json!([]), json!({"a": 1}), json!({"a": 1})),
        (json!({"a": 1}), json!([]), json!({"a": 1})),
        (json!({"a": 1}), json!(null), json!({"a": 1})),
        (json!({"a": 1}), json!("x"), json!({"a": 1})),
        (json!({"a": 1, "b": null}), json!({"a": 2, "b": 2, "c": 2}), json!({"a": 1, "b": null, "c": 2})),
        (
            json!({"firstName": 1}),
            json!({"first_name": 2, "Last-Name": 2}),
            json!({"firstName": 1, "Last-Name": 2}),
        ),
        (json!({"a": {"x": 1}}), json!({"a": {"y": 2}}), json!({"a": {"x": 1}})),
    ] {
        assert_eq!(traits(own.clone(), further.clone()), expected, "{own} {further}");
    }
}

#[test]
fn of_repeated_contexts_the_last_counts_and_of_the_traits_in_it_the_last() {
    let traits = |context: &str| {
        let body = format!(r#"{{"type":"track","event":"E","userId":"u",{context}}}"#);
        decode(body.as_bytes()).unwrap().context_traits.map(|traits| traits.as_str().to_owned())
    };
    for (context, expected) in [
        (r#""context":{"traits":{"a":1}},"context":{"b":2}"#, None),
        (r#""context":{"traits":{"a":1}},"context":null"#, None),
        (r#""context":{"traits":{"a":1}},"context":{"tra\u0069ts":{"c":[1.0]}}"#, Some(r#"{"c":[1.0]}"#)),
        (r#""context":{"traits":{"a":1},"traits":{"b":2}}"#, Some(r#"{"b":2}"#)),
        (r#""context":{"traits":{"a":1},"traits":[2]}"#, None),
        (r#""context":{"page":{"traits":{"a":1}}}"#, None),
        (r#""\u0063ontext":{"traits":{}},"traits":{"a":1}"#, Some("{}")),
    ] {
        assert_eq!(traits(context).as_deref(), expected, "{context}");
    }
}

#[test]
fn the_problem_says_what_a_body_looks_like() {
    let utf_16: Vec<u8> = "{\"type\":\"é\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&b"\xff\xfe"[..], &utf_16].concat();
    let cases: &[(&[u8], &str)] = &[
        (b"\x1f\x8b\x08\x00", "gzip data, which is packed twice or lacks its content_encoding"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"\x78\x9c\xab", "zlib"),
        (&utf_16, "UTF-16"),
        (&marked, "UTF-16"),
        (b"{\"a\":NaN}", "NaN is no JSON value, at line 1 column 6"),
        (b"{\"a\":\n[1,-Infinity]}", "Infinity is no JSON value, at line 2"),
        (b"{\"a\":nan}", "NaN is no JSON value"),
        (b"{\"a\":inf}", "Infinity is no JSON value"),
        (b"{\"a\":undefined}", "undefined is no JSON value"),
        (b"{\"a\": None}", "None is no JSON value"),
        (b"{\"a\": True}", "True is no JSON value"),
        (b"{\"a\":\xef\xbb\xbf1}", "a byte order mark elsewhere than at the start"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "a byte order mark elsewhere than at the start"),
        (b"[{\"type\":\"identify\"}]", "an array where one event belongs"),
        (br#""{\"type\":\"identify\"}""#, "encoded twice"),
        (br#""[{\"type\":\"identify\"}]""#, "encoded twice"),
        (b"{\"type\":\"track\"}\n{\"type\":\"track\"}\n", "several JSON values, one a line"),
        (b"{\"type\":\"track\"}\n}", "trailing characters at line 2"),
        (b"{\"type\":\n}", "expected value at line 2"),
        (b"{\"a\":\"\xff\"}", "not UTF-8 from byte 6 on"),
        (br#"{"batch":[{"type":"identify"}]}"#, "a batch where one event belongs"),
        (br#"{"batch":{}}"#, "the event has no type"),
    ];
    for (body, expected) in cases {
        let refusal = refusal(body);
        let reported = &refusal.problems[0].problem;
        assert!(reported.contains(expected), "{reported:?} does not say {expected:?}");
    }
}

#[test]
fn a_wrapped_event_that_is_not_unwrapped_names_the_setting() {
    let expected = |body: &str| refusal(body.as_bytes()).problems[0].expected.clone().unwrap();
    for (body, key) in [
        (r#"{"payload":{"type":"track"}}"#, "`payload` in `broker.unwrap`"),
        (r#"{"detail-type":"x","detail":{"type":"track"}}"#, "`detail` in `broker.unwrap`"),
        (r#"{"message":[{"type":"track"}]}"#, "`message` in `broker.unwrap`"),
        (r#"{"Type":"Notification","Message":"{}"}"#, "`Message` in `broker.unwrap`"),
        (r#"{"type":null,"data":"{}"}"#, "`data` in `broker.unwrap`"),
    ] {
        assert!(expected(body).contains(key), "{}", expected(body));
    }
    for body in ["{}", r#"{"userId":"u"}"#, r#"{"data":5}"#] {
        assert_eq!(expected(body), "identify, track or page", "{body}");
    }
}

#[test]
fn a_track_needs_a_name() {
    for name in [json!(null), json!(""), json!(" "), json!(5), json!({})] {
        let body = json!({"type": "track", "userId": "u", "event": name});
        let refusal = refusal(body.to_string().as_bytes());
        assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
        assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("event"));
    }
}

#[test]
fn a_pages_url_comes_from_its_properties_else_from_the_context() {
    let cases = [
        (json!({"url": " https://a "}), json!({"url": "https://b"}), Some("https://a")),
        (json!({"url": " "}), json!({"url": "https://b"}), Some("https://b")),
        (json!({"url": 5}), json!({"url": "https://b"}), Some("https://b")),
        (json!(null), json!({"url": "https://b"}), Some("https://b")),
        (json!({}), json!({"url": ""}), None),
        (json!({}), json!("https://b"), None),
        (json!(null), json!(null), None),
    ];
    for (properties, page, expected) in cases {
        let body =
            json!({"type": "page", "userId": "u", "properties": properties, "context": {"page": page}});
        match decoded(&body) {
            Ok(Event { payload: Payload::Page { url, .. }, .. }) => assert_eq!(Some(url.as_str()), expected),
            Err(Undelivered::Refuse(refusal)) => {
                assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
                assert_eq!(expected, None, "{body}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn our_own_integrations_entry_decides_else_all() {
    let skip = Err(Undelivered::Skip(SkipReason::IntegrationDisabled));
    // Every combination of the names and `All`. Null counts as missing.
    let names = ["Freshsales Suite - CRM", "Freshsales Suite", "Freshsales"];
    let entries = [
        None,
        Some(json!(null)),
        Some(json!(true)),
        Some(json!(false)),
        Some(json!([])),
        Some(json!({"a": 1})),
    ];
    for combination in 0..6_usize.pow(3) {
        let picked = [combination % 6, combination / 6 % 6, combination / 36];
        for all in [None, Some(json!(true)), Some(json!(false)), Some(json!(null))] {
            let mut integrations = json!({"Mixpanel": false});
            // The order in the document does not matter.
            for (name, entry) in names.iter().zip(picked).rev() {
                if let Some(entry) = &entries[entry] {
                    integrations[name] = entry.clone();
                }
            }
            if let Some(all) = &all {
                integrations["All"] = all.clone();
            }
            let own =
                picked.iter().filter_map(|entry| entries[*entry].as_ref()).find(|entry| !entry.is_null());
            let wanted = own.map_or(all != Some(json!(false)), |entry| *entry != json!(false));
            let outcome = decoded(&identify(&json!({"integrations": integrations})));
            assert_eq!(outcome.is_ok(), wanted, "{integrations}");
            assert!(wanted || outcome == skip);
        }
    }
    for wrong in [json!("yes"), json!(1), json!([false])] {
        let body = identify(&json!({"integrations": {"Freshsales": wrong}}));
        let refusal = refusal(body.to_string().as_bytes());
        assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
        assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("integrations.Freshsales"));
    }
}

#[test]
fn a_problem_counts_before_switched_off_integrations_and_those_before_a_missing_user() {
    let off = json!({"All": false});
    let body = json!({"type": "identify", "userId": "u", "integrations": off, "traits": 5});
    assert_eq!(refusal(body.to_string().as_bytes()).reason, DeadLetterReason::InvalidEvent);
    let body = json!({"type": "identify", "integrations": off});
    assert_eq!(decoded(&body), Err(Undelivered::Skip(SkipReason::IntegrationDisabled)));
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&body));
        drop(crate::segment::routing_keys(&body));
        drop(crate::segment::glimpse(&body));
    }

    #[test]
    fn no_mutation_of_an_event_makes_decoding_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut body = br#"{"type":"page","userId":12,"messageId":"m\u0041","context":{"page":{"url":"x"}},"properties":{"a":[1.5e3,null]}}"#.to_vec();
        for (index, byte) in changes {
            let at = index.index(body.len());
            body[at] = byte;
        }
        drop(decode(&body));
        drop(crate::segment::routing_keys(&body));
        drop(crate::segment::glimpse(&body));
    }

    /// The router must not refuse an event that a lane would decode.
    #[test]
    fn whatever_decodes_can_be_routed(key in prop::option::of(".{0,8}"), extra in ".{0,20}") {
        let body = identify(&json!({"writeKey": key, "traits": {"x": extra}})).to_string();
        prop_assert!(decode(body.as_bytes()).is_ok());
        prop_assert_eq!(crate::segment::routing_keys(body.as_bytes()).unwrap().write_key, key);
    }
}
