//! Every rule of the envelope, by table; and that no bytes make decoding panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::BODY_LIMIT;
use super::*;

/// Decodes bytes that are nobody's body.
fn decode(body: &[u8]) -> Result<Event, Undelivered> {
    super::decode(&Bytes::copy_from_slice(body))
}

fn decoded(body: &Value) -> Result<Event, Undelivered> {
    decode(body.to_string().as_bytes())
}

fn refusal(body: &[u8]) -> Refusal {
    match decode(body) {
        Err(Undelivered::Refuse(refusal)) => refusal,
        other => panic!("expected a refusal of {}, got {other:?}", String::from_utf8_lossy(body)),
    }
}

/// A valid identify with some keys put in.
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
    assert_eq!(event.context.as_str(), r#"{"ip":"::1"}"#);
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
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
        br#"{"type":"identify","userId":"\ud800"}"#,
        br#"{"type":"track","event":"e","userId":"u","properties":{"a":"x\ud83d"}}"#,
        br#"{"type":"track","event":"e","userId":"u","properties":{"\udc00\ud800":1}}"#,
        br#"{"type":"track","event":"e","userId":"u","other":["\\","\ud83d\n\ude00"]}"#,
        b"{\"a\":01}",
        b"\xef\xbb\xbf{}",
        deep.as_bytes(),
    ];
    for body in cases {
        let refusal = refusal(body);
        assert_eq!(refusal.reason, DeadLetterReason::MalformedJson, "{}", String::from_utf8_lossy(body));
        assert!(refusal.problems[0].expected.is_some());
    }
}

#[test]
fn whole_characters_however_written_and_half_looking_ones_are_taken() {
    let body = br#"{"type":"track","event":"e","userId":"u","properties":{"\ud83d\ude00":"\u00e9\\ud800","b":"\\"}}"#;
    let Payload::Track { properties, .. } = decode(body).unwrap().payload else { panic!("not a track") };
    assert_eq!(properties.as_str(), r#"{"\ud83d\ude00":"\u00e9\\ud800","b":"\\"}"#);
}

#[test]
fn the_detail_of_a_malformed_body_tells_the_place_and_no_content() {
    let refusal = refusal(b"{\"type\":\"identify\",\n \"secret\" \"hunter2\"}");
    let told = format!("{:?}", refusal.problems);
    assert!(told.contains("line 2 column"), "{told}");
    assert!(!told.contains("secret") && !told.contains("hunter2"), "{told}");
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
    assert!(traits["$serde_json::private::RawValue"].is_string());
    let event =
        decoded(&identify(&json!({"traits": {"a": {"$serde_json::private::Number": "no"}}}))).unwrap();
    let Payload::Identify { traits } = event.payload else { panic!("not an identify") };
    assert!(traits["a"].is_object());
}

#[test]
fn unsupported_types_are_skipped_before_anything_else_is_judged() {
    for word in ["screen", "group", "alias", "Identify", "", "page "] {
        let outcome = decoded(&json!({"type": word, "userId": [], "context": 5}));
        assert_eq!(outcome, Err(Undelivered::Skip(SkipReason::UnsupportedType)), "{word:?}");
    }
}

#[test]
fn wrong_kinds_are_all_named() {
    let body = json!({
        "type": "page", "messageId": 1, "userId": 1.5, "anonymousId": {}, "channel": true, "version": [],
        "writeKey": 2, "projectId": 3, "context": "x", "integrations": [], "traits": 4, "properties": 5,
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
fn a_user_is_needed() {
    for nobody in [json!(null), json!(""), json!("  \n")] {
        let identify = json!({"type": "identify", "userId": nobody, "traits": {"email": "a@b.co"}});
        assert_eq!(refusal(identify.to_string().as_bytes()).reason, DeadLetterReason::MissingUserId);
        let track = json!({"type": "track", "event": "E", "userId": nobody, "anonymousId": "a"});
        assert_eq!(decoded(&track), Err(Undelivered::Skip(SkipReason::Anonymous)));
        let page = json!({"type": "page", "userId": nobody, "properties": {"url": "https://e.com"}});
        assert_eq!(decoded(&page), Err(Undelivered::Skip(SkipReason::Anonymous)));
    }
    assert_eq!(decoded(&json!({"type": "identify", "userId": -7})).unwrap().user_id.as_deref(), Some("-7"));
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
    let cases = [
        (json!({}), true),
        (json!({"All": false}), false),
        (json!({"All": true}), true),
        (json!({"All": null}), true),
        (json!({"Mixpanel": false}), true),
        (json!({"All": false, "Freshsales": true}), true),
        (json!({"All": false, "Freshsales Suite": {"a": 1}}), true),
        (json!({"Freshsales Suite": false, "Freshsales": true}), false),
        (json!({"Freshsales Suite": true, "Freshsales": false, "All": false}), true),
        (json!({"Freshsales Suite": null, "Freshsales": false}), false),
        (json!({"Freshsales": null, "All": false}), false),
    ];
    for (integrations, wanted) in cases {
        let outcome = decoded(&identify(&json!({"integrations": integrations})));
        assert_eq!(outcome.is_ok(), wanted, "{integrations}");
        assert!(wanted || outcome == skip);
    }
    for wrong in [json!("yes"), json!(1), json!([])] {
        let body = identify(&json!({"integrations": {"Freshsales": wrong}}));
        let refusal = refusal(body.to_string().as_bytes());
        assert_eq!(refusal.reason, DeadLetterReason::InvalidEvent);
        assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("integrations.Freshsales"));
    }
}

#[test]
fn the_envelope_is_judged_before_the_integrations_and_those_before_the_user() {
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
        drop(super::super::routing_keys(&body));
        drop(super::super::glimpse(&body));
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
        drop(super::super::routing_keys(&body));
        drop(super::super::glimpse(&body));
    }

    /// The router must not refuse what a lane would take.
    #[test]
    fn whatever_decodes_can_be_routed(key in prop::option::of(".{0,8}"), extra in ".{0,20}") {
        let body = identify(&json!({"writeKey": key, "traits": {"x": extra}})).to_string();
        prop_assert!(decode(body.as_bytes()).is_ok());
        prop_assert_eq!(super::super::routing_keys(body.as_bytes()).unwrap().write_key, key);
    }
}
