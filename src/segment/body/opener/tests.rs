use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::fuzz::{almost_json, feed};
use proptest::prelude::*;

const KEYS: [&str; 4] = ["payload", "data", "detail", "message"];

fn opener() -> Opener {
    Opener::new(KEYS.map(str::to_owned).to_vec(), 2 << 20)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The events of a body as the router sends them and the lane reads them, or the refusal's reason.
fn events(opener: &Opener, text: &str) -> Vec<String> {
    let body = bytes(text);
    let read = |body: &Bytes| match opener.event(body, None) {
        Ok(event) => String::from_utf8_lossy(&event).into_owned(),
        Err(refusal) => refusal.reason.to_string(),
    };
    match opener.open(&body, None, "") {
        Ok(Opened::One(_)) => vec![read(&body)],
        Ok(Opened::Many(batch)) => (0..batch.len()).map(|index| read(&batch.body(index))).collect(),
        Err(unopened) => vec![format!("whole: {}", unopened.refusal.reason)],
    }
}

const EVENT: &str = r#"{"type":"track","messageId":"m"}"#;

#[test]
fn an_event_is_found_in_every_wrapping() {
    let string = serde_json::to_string(EVENT).unwrap();
    let twice = serde_json::to_string(&format!("\n{{\"data\":{string}}}")).unwrap();
    for wrapped in [
        EVENT.to_owned(),
        format!("\u{feff}{EVENT}"),
        format!(r#"{{"payload":{EVENT},"eventType":"x"}}"#),
        format!(r#"{{"type":null,"message":{EVENT}}}"#),
        format!(r#"{{"pattern":"p","data":{EVENT}}}"#),
        format!(r#"{{"specversion":"1.0","type":"com.example","source":"s","data":{EVENT}}}"#),
        format!(r#"{{"source":"s","detail-type":"t","detail":{EVENT}}}"#),
        format!(r#"{{"payload":null,"data":"no event","detail":5,"message":{EVENT}}}"#),
        format!(r#"{{"message":{{"x":1}},"payload":{EVENT}}}"#),
        format!(r#"{{"Type":"Notification","message":{string}}}"#),
        format!(r#"{{"message":{twice}}}"#),
        format!(r#"{{"data":{{"detail":{{"payload":{EVENT}}}}}}}"#),
    ] {
        assert_eq!(events(&opener(), &wrapped), [EVENT], "{wrapped}");
    }
}

#[test]
fn several_events_are_found_in_every_wrapping() {
    let list = format!("[{EVENT},{EVENT}]");
    for wrapped in [
        list.clone(),
        format!("\u{feff} {list}"),
        format!(r#"{{"batch":{list}}}"#),
        format!(r#"{{"type":"batch","batch":{list}}}"#),
        format!(r#"{{"batch":{list},"type":7}}"#),
        format!(r#"{{"data":{list}}}"#),
        format!(r#"{{"payload":{{"batch":{list}}}}}"#),
        format!(r#"{{"specversion":"1.0","type":"com.example","data":{{"batch":{list}}}}}"#),
        format!(r#"{{"message":{}}}"#, serde_json::to_string(&list).unwrap()),
        format!(r#"[{{"data":{EVENT}}},{{"specversion":"1.0","type":"x","data":{EVENT}}}]"#),
    ] {
        assert_eq!(events(&opener(), &wrapped), [EVENT, EVENT], "{wrapped}");
    }
}

#[test]
fn only_wrappings_are_unwrapped() {
    for text in [
        r#"{"type":"track","payload":{"type":"page"}}"#,
        r#"{"userId":"u","data":5}"#,
        r#"{"data":"{no JSON"}"#,
        r#"{"batch":{"type":"track"}}"#,
        r#"{"type":"track","batch":[1]}"#,
        r#"{"batch":[1],"type":"group"}"#,
        r#"{"type":"batch","batch":{}}"#,
        "7",
        "",
        "{",
    ] {
        assert_eq!(events(&opener(), text), [text]);
    }
    let wrapped = format!(r#"{{"payload":{EVENT}}}"#);
    assert_eq!(events(&Opener::default(), &wrapped), [wrapped]);
    let cloud = format!(r#"{{"specversion":"1.0","type":"x","data":{EVENT}}}"#);
    assert_eq!(events(&Opener::default(), &cloud), [cloud]);
}

#[test]
fn what_cannot_be_split_is_refused_with_the_reason() {
    for (text, expected) in [
        ("[]", "whole: invalid_event"),
        (r#"{"batch":[ ]}"#, "whole: invalid_event"),
        (r#"{"data":[]}"#, "whole: invalid_event"),
        (r#"[{"type":"track"}"#, "whole: malformed_json"),
        (r#"[{"type":"track"} {"type":"track"}]"#, "whole: malformed_json"),
        (r#"{"specversion":"1.0","type":"x","data_base64":"e30="}"#, "invalid_event"),
        (r#"[[{"type":"track"}]]"#, "malformed_json"),
        (r#"[{"batch":[{"type":"track"}]}]"#, "malformed_json"),
    ] {
        assert_eq!(events(&opener(), text), [expected], "{text}");
    }
}

#[test]
fn a_batch_in_a_lane_says_where_it_belongs() {
    for text in ["[1,2]", r#"{"batch":[1,2]}"#, r#"{"data":[1]}"#] {
        let refusal = opener().event(&bytes(text), None).unwrap_err();
        assert_eq!(refusal.reason, DeadLetterReason::MalformedJson);
        assert!(refusal.problems[0].problem.contains("split only on the intake"), "{refusal:?}");
    }
    // Decoding describes bodies that are not JSON.
    assert_eq!(opener().event(&bytes("[1,"), None), Ok(bytes("[1,")));
}

fn unopened(opener: &Opener, body: &Bytes) -> Unopened {
    match opener.open(body, None, "") {
        Err(unopened) => unopened,
        Ok(opened) => panic!("{opened:?}"),
    }
}

#[test]
fn too_large_batches_are_not_split() {
    let body =
        |count: usize| bytes(&format!(r#"{{"writeKey":"wk","batch":[{}]}}"#, vec!["{}"; count].join(",")));
    assert!(matches!(opener().open(&body(5000), None, ""), Ok(Opened::Many(batch)) if batch.len() == 5000));
    let refused = unopened(&opener(), &body(5001));
    assert_eq!(refused.refusal.reason, DeadLetterReason::TooLarge);
    assert_eq!(refused.keys[0].write_key.as_deref(), Some("wk"), "its account's all the same");
    let large = bytes(&format!("[{}1]", " ".repeat(2 << 20)));
    assert_eq!(unopened(&opener(), &large).refusal.reason, DeadLetterReason::TooLarge);
    assert!(Opener::default().open(&large, None, "").is_ok());
    // A small body must not become gigabytes.
    let context = "x".repeat(10_000);
    let text = format!(r#"{{"context":{{"c":"{context}"}},"batch":[{}]}}"#, vec!["{}"; 5000].join(","));
    assert_eq!(unopened(&opener(), &bytes(&text)).refusal.reason, DeadLetterReason::TooLarge);
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap().into()
}

#[test]
fn a_compressed_body_is_read_up_to_the_limit_of_its_queue() {
    let event = gzip(format!(r#"{{"payload":{EVENT}}}"#).as_bytes());
    assert_eq!(opener().event(&event, Some("gzip")), Ok(bytes(EVENT)));
    assert_eq!(opener().glimpse(&event, Some("gzip")).message_id.as_deref(), Some("m"));
    let large = gzip(format!("{EVENT}{}", " ".repeat(BODY_LIMIT)).as_bytes());
    assert_eq!(opener().event(&large, Some("gzip")).unwrap_err().reason, DeadLetterReason::TooLarge);
    assert_eq!(
        opener().glimpse(&large, Some("gzip")).message_id.as_deref(),
        Some("m"),
        "as far as it can be read"
    );
    let bomb = gzip(&vec![b' '; 3 << 20]);
    assert_eq!(
        opener().open(&bomb, Some("gzip"), "").unwrap_err().refusal.reason,
        DeadLetterReason::TooLarge
    );
    assert_eq!(
        opener().open(&event, Some("br"), "").unwrap_err().refusal.reason,
        DeadLetterReason::MalformedJson
    );
    let list = gzip(format!("[{EVENT}]").as_bytes());
    assert!(matches!(opener().open(&list, Some("gzip"), ""), Ok(Opened::Many(_))));
}

#[test]
fn keys_are_those_of_the_event_and_then_of_its_wrapping() {
    let keys = |text: &str| match opener().open(&bytes(text), None, "") {
        Ok(Opened::One(one)) => one.keys().unwrap(),
        Ok(Opened::Many(batch)) => batch.keys_of(0).unwrap(),
        Err(unopened) => unopened.keys,
    };
    let named =
        |text: &str| -> Vec<String> { keys(text).into_iter().filter_map(|keys| keys.write_key).collect() };
    assert_eq!(named(r#"{"writeKey":"out","data":{"writeKey":"in","type":"track"}}"#), ["in", "out"]);
    assert_eq!(named(r#"{"writeKey":"out","data":[{"writeKey":"in"}]}"#), ["in", "out"]);
    assert_eq!(
        named(r#"{"writeKey":"out","data":[{"writeKey":"own","detail":{"writeKey":"in"}}]}"#),
        ["in", "own", "out"]
    );
    assert_eq!(named(r#"{"writeKey":"out","data":[]}"#), ["out"]);
}

const BODIES: &[&str] = &[
    r#"[{"type":"track","messageId":"m"},{"data":{"type":"page"}},7]"#,
    r#"{"batch":[{"type":"track","context":{"a":1}},null],"context":{"b":[]},"writeKey":"wk"}"#,
    r#"{"specversion":"1.0","type":"x","data":"{\"batch\":[{\"type\":\"track\"}]}"}"#,
    r#"{"payload":{"detail":{"message":{"data":{"type":"track"}}}}}"#,
];

#[test]
fn any_body_is_opened_the_same_way_each_time_and_no_event_is_lost() {
    let encoding = prop::option::of(prop::sample::select(vec!["gzip", "zstd", "deflate", "utf-8", "br"]));
    feed("opening", &(almost_json(BODIES), encoding), |(body, encoding)| {
        let body = Bytes::from(body);
        let opener = opener();
        drop(opener.event(&body, encoding));
        drop(opener.glimpse(&body, encoding));
        match opener.open(&body, encoding, "o") {
            Ok(Opened::One(one)) => drop(one.keys()),
            Ok(Opened::Many(batch)) => {
                let Ok(Opened::Many(again)) = opener.open(&body, encoding, "o") else { panic!("not again") };
                prop_assert!(!batch.is_empty() && batch.len() == again.len());
                for index in 0..batch.len() {
                    drop(batch.keys_of(index));
                    let part = batch.body(index);
                    prop_assert_eq!(&part, &again.body(index));
                    // The lane reads the same event.
                    if let Ok(event) = opener.event(&part, None) {
                        prop_assert_eq!(&opener.event(&event, None), &Ok(event.clone()));
                    }
                }
            }
            Err(unopened) => prop_assert!(!unopened.refusal.problems.is_empty()),
        }
        Ok(())
    });
}

#[test]
fn a_refusal_repeats_no_value() {
    let secret =
        json!({"batch": [], "context": {"email": "kim@example.com"}, "writeKey": "secret"}).to_string();
    let unopened = unopened(&opener(), &bytes(&secret));
    let reported = serde_json::to_string(&unopened.refusal.problems).unwrap();
    assert!(!reported.contains("kim") && !reported.contains("secret"), "{reported}");
}
