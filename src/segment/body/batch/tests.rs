use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::cost::{filled, stays_linear};
use crate::fuzz::any_json;
use crate::segment::{Opened, Opener};

fn batch(text: &str) -> Batch {
    batch_of(&Bytes::copy_from_slice(text.as_bytes()), "")
}

fn batch_of(text: &Bytes, origin: &str) -> Batch {
    match Opener::default().open(text, None, origin) {
        Ok(Opened::Many(batch)) => batch,
        other => panic!("no batch: {other:?}"),
    }
}

fn bodies(batch: &Batch) -> Vec<Value> {
    (0..batch.len()).map(|index| serde_json::from_slice(&batch.body(index)).unwrap()).collect()
}

#[test]
fn events_with_a_message_id_are_unchanged_in_an_array() {
    let text = Bytes::from_static(b" [ {\"messageId\":\"a\" , \"n\":1.50} ,\n{\"messageId\":\"b\"}]");
    let batch = batch_of(&text, "");
    assert_eq!(batch.body(0), &b"{\"messageId\":\"a\" , \"n\":1.50}"[..]);
    assert_eq!(batch.body(1), &b"{\"messageId\":\"b\"}"[..]);
    assert!(text.as_ptr_range().contains(&batch.body(1).as_ptr()), "nothing is copied");
}

#[test]
fn elements_that_are_no_events_are_unchanged() {
    let parts = ["1", "null", "\"text\"", "[{\"type\":\"track\"}]", "true"];
    let batch = batch(&format!("{{\"batch\":[{}],\"context\":{{\"a\":1}}}}", parts.join(" , ")));
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(batch.body(index), part.as_bytes());
    }
}

#[test]
fn an_event_that_is_not_utf_8_does_not_cost_the_others() {
    let text = Bytes::from_static(b"[{\"messageId\":\"a\"},{\"messageId\":\"\xff\"},{\"messageId\":\"c\"}]");
    let batch = batch_of(&text, "");
    assert_eq!(batch.len(), 3);
    assert_eq!(batch.body(1), &b"{\"messageId\":\"\xff\"}"[..]);
    assert_eq!(batch.body(2), &b"{\"messageId\":\"c\"}"[..]);
}

#[test]
fn an_events_integrations_win_over_the_batchs_under_every_name_of_the_destination() {
    const NAMES: [&str; 3] = ["Freshsales Suite - CRM", "Freshsales Suite", "Freshsales"];
    for (outer_name, own_name) in NAMES.iter().flat_map(|outer| NAMES.map(|own| (*outer, own))) {
        for (outer, own, wanted) in [
            (json!(true), json!(false), false),
            (json!(false), json!(true), true),
            (json!(false), json!({}), true),
            // Null decides nothing.
            (json!(false), json!(null), false),
            (json!(true), json!(null), true),
        ] {
            let event = json!({"type": "identify", "userId": "a@x.com", "integrations": {own_name: own, "Other": false}});
            let text =
                json!({"batch": [event], "integrations": {outer_name: outer, "All": false}}).to_string();
            let body = batch(&text).body(0);
            assert_eq!(crate::segment::decode(&body).is_ok(), wanted, "{outer_name} {own_name} {text}");
        }
    }
}

#[test]
fn members_beside_the_batch_are_added_to_each_event() {
    let outer = json!({
        "context": {"ip": "outer", "page": {"url": "outer", "title": "outer"}},
        "integrations": {"All": false, "A": true},
        "writeKey": "outer", "projectId": "outer", "sentAt": "outer", "other": "outer",
    });
    for (event, expected) in [
        (
            json!({}),
            json!({
                "context": {"ip": "outer", "page": {"url": "outer", "title": "outer"}},
                "integrations": {"All": false, "A": true},
                "writeKey": "outer", "projectId": "outer", "sentAt": "outer",
            }),
        ),
        (
            json!({"context": {"page": {"url": "own"}, "os": 1}, "integrations": {"All": true, "B": null}, "writeKey": "own"}),
            json!({
                "context": {"page": {"url": "own"}, "os": 1, "ip": "outer"},
                "integrations": {"All": true, "B": null, "A": true},
                "writeKey": "own", "projectId": "outer", "sentAt": "outer",
            }),
        ),
        (
            json!({"context": null, "integrations": [], "writeKey": null, "sentAt": "", "projectId": 5}),
            json!({
                "context": {"ip": "outer", "page": {"url": "outer", "title": "outer"}},
                "integrations": {"All": false, "A": true},
                "writeKey": "outer", "projectId": 5, "sentAt": "",
            }),
        ),
        (
            json!({"context": "own", "integrations": [1]}),
            json!({
                "context": "own", "integrations": [1],
                "writeKey": "outer", "projectId": "outer", "sentAt": "outer",
            }),
        ),
    ] {
        let mut event = event;
        event["messageId"] = json!("m");
        let mut expected = expected;
        expected["messageId"] = json!("m");
        let mut text = outer.clone();
        text["batch"] = json!([event.clone()]);
        assert_eq!(bodies(&batch(&text.to_string())), [expected], "{event}");
    }
}

#[test]
fn empty_members_beside_the_batch_change_nothing() {
    let text = r#"{"batch":[{"messageId":"m" }],"context":[],"integrations":{},"writeKey":null}"#;
    assert_eq!(batch(text).body(0), &br#"{"messageId":"m" }"#[..]);
}

#[test]
fn an_event_without_a_message_id_gets_one() {
    for (id, named) in [("", false), (r#""messageId":null,"#, false), (r#""messageId":" ","#, false)]
        .into_iter()
        .chain([(r#""messageId":"own","#, true), (r#""messageId":7,"#, true)])
    {
        let event = &bodies(&batch(&format!("[{{{id}\"type\":\"track\"}}]")))[0];
        let made_up = event["messageId"].as_str().is_some_and(|id| id.starts_with("freshet-"));
        assert_eq!(made_up, !named, "{event}");
        assert_eq!(event["type"], "track");
        assert_eq!(event.as_object().unwrap().len(), 2);
    }
    let twice = br#"[{"messageId":"own","type":"track","messageId":null}]"#;
    let event = batch_of(&Bytes::from_static(twice), "").body(0);
    assert_eq!(String::from_utf8_lossy(&event).matches("messageId").count(), 1, "the last one counts");
}

#[test]
fn generated_message_ids_are_stable_and_unique() {
    let ids = |text: &str, origin: &str| {
        let batch = batch_of(&Bytes::copy_from_slice(text.as_bytes()), origin);
        bodies(&batch).iter().map(|event| event["messageId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let same = r#"[{"type":"track"},{"type":"track"}]"#;
    assert_eq!(ids(same, "1"), ids(same, "1"));
    let mut all: Vec<String> = [
        ids(same, "1"),
        ids(same, "2"),
        ids(r#"[{"type":"track"}, {"type":"track"}]"#, "1"),
        ids(r#"{"batch":[{"type":"track"},{"type":"track"}]}"#, "1"),
    ]
    .concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8, "{all:?}");
    // This id must never change: after an update of Freshet, redelivered events must still be recognised.
    let fixed = &ids(same, "1")[1];
    assert_eq!(fixed.len(), "freshet-".len() + 32 + "-1".len());
    insta::assert_snapshot!(fixed, @"freshet-fe2505e6e27aa8d25c08f9f4ca7baf8a-1");
}

#[test]
fn the_keys_nearest_to_an_event_come_first() {
    let key = |key: &str| RoutingKeys { write_key: Some(key.to_owned()), project_id: None };
    let text = r#"{"batch":[{"writeKey":"own"},{},7],"writeKey":"outer"}"#;
    let batch = batch(text);
    assert_eq!(batch.keys_of(0).unwrap(), [key("own"), key("outer")]);
    assert_eq!(batch.keys_of(1).unwrap(), [key("outer"), key("outer")]);
    assert_eq!(
        batch.keys_of(2).unwrap(),
        [key("outer"), key("outer")],
        "no event, and its account's all the same"
    );
    let alone = self::batch("[7]");
    assert!(alone.keys_of(0).is_err());
}

#[test]
fn splitting_costs_linear_time() {
    let event = |number| {
        format!(r#"{{"type":"track","context":{{"n":{number}}},"event":"Did {}"}}"#, "x".repeat(200))
    };
    stays_linear(
        "events of a batch",
        |bytes| Bytes::from(filled(bytes, "{\"context\":{\"a\":1},\"batch\":[", event, "]}")),
        |text| {
            let batch = batch_of(text, "");
            for index in 0..batch.len() {
                drop(batch.body(index));
                drop(batch.keys_of(index));
            }
        },
    );
    stays_linear(
        "what stands beside a batch",
        |bytes| {
            Bytes::from(filled(
                bytes,
                "{\"batch\":[{\"context\":{\"n\":1}}],\"context\":{",
                |n| format!("\"k{n}\":1"),
                "}}",
            ))
        },
        |text| drop(batch_of(text, "").body(0)),
    );
    stays_linear(
        "members of an event under what stands beside",
        |bytes| {
            Bytes::from(filled(
                bytes,
                "{\"context\":{\"k1\":0,\"n\":1},\"batch\":[{\"context\":{",
                |n| format!("\"k{n}\":1"),
                "}}]}",
            ))
        },
        |text| drop(batch_of(text, "").body(0)),
    );
}

/// One wrapping may hold thousands of events, and the keys of each are read.
#[test]
fn the_keys_of_a_wrapping_cost_each_event_little() {
    let opener = Opener::new(vec!["data".to_owned()], Opener::DEFAULT_MAX_BATCH);
    stays_linear(
        "keys of a wrapping",
        |bytes| {
            let key = "k".repeat(bytes / 2);
            let event = |n: usize| format!("{{\"type\":\"track\",\"n\":{n},\"pad\":\"{key:.300}\"}}");
            Bytes::from(filled(bytes, &format!("{{\"writeKey\":\"{key}\",\"data\":["), event, "]}"))
        },
        |text| {
            let Ok(Opened::Many(batch)) = opener.open(text, None, "") else { panic!("no batch") };
            assert!((0..batch.len()).all(|index| batch.keys_of(index).is_ok()));
        },
    );
}

fn any_event() -> impl Strategy<Value = Value> {
    let keys = &["type", "context", "integrations", "writeKey", "sentAt", "a"];
    prop::collection::vec((prop::sample::select(&keys[..]), any_json(keys)), 0..6)
        .prop_map(|entries| {
            entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
        })
        .prop_map(Value::Object)
}

/// The rule of merging, on values.
fn under(event: &Value, outer: &Value) -> Value {
    let mut event = event.clone();
    let empty = |value: &Value| {
        value.is_null()
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
    };
    for key in ["context", "integrations"] {
        let Some(under) = outer.get(key).filter(|under| !empty(under)) else { continue };
        let own = event.get(key).cloned().unwrap_or_default();
        if empty(&own) {
            event[key] = under.clone();
        } else if let (Some(own), Some(under)) = (own.as_object(), under.as_object()) {
            let mut all = under.clone();
            all.extend(own.clone());
            event[key] = all.into();
        }
    }
    for key in ["writeKey", "projectId", "sentAt"] {
        let under = outer.get(key).cloned().unwrap_or_default();
        if event.get(key).is_none_or(Value::is_null) && !under.is_null() {
            event[key] = under;
        }
    }
    event
}

proptest! {
    #[test]
    fn what_is_split_is_what_was_joined(events in prop::collection::vec(any_event(), 1..8), pretty: bool) {
        let events: Vec<Value> = events.into_iter().enumerate().map(|(number, mut event)| {
            event["messageId"] = json!(format!("m-{number}"));
            event
        }).collect();
        let text = if pretty { serde_json::to_string_pretty(&events) } else { serde_json::to_string(&events) };
        prop_assert_eq!(bodies(&batch(&text.unwrap())), events);
    }

    #[test]
    fn each_event_is_merged_as_the_rule_says(
        events in prop::collection::vec(any_event(), 1..4), outer in any_event(), pretty: bool,
    ) {
        let mut text = outer.clone();
        text.as_object_mut().unwrap().shift_remove("type");
        text["batch"] = events.clone().into();
        let text = if pretty { serde_json::to_string_pretty(&text) } else { serde_json::to_string(&text) };
        let split = bodies(&batch(&text.unwrap()));
        for (mut split, event) in split.into_iter().zip(events) {
            let id = split.as_object_mut().unwrap().shift_remove("messageId");
            prop_assert!(id.is_some_and(|id| id.as_str().is_some_and(|id| id.starts_with("freshet-"))));
            prop_assert_eq!(split, under(&event, &outer));
        }
    }
}
