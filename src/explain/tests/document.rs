//! The tables and blocks of `docs/MAPPING.md`: each example is explained as a lane would judge it, with the fields that the
//! sandbox has built in. A row that is not true fails, and so does one that nobody knows how to try.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{explained, identify};
use crate::config::{self, SecretsNeeded};
use crate::explain::{Ends, Explanation};
use crate::outcome::SkipReason;

const DOCUMENT: &str = include_str!("../../../docs/MAPPING.md");

/// The rows of the table that begins with this line, cell by cell, without backticks.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) =
        DOCUMENT.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("there is no table {head}"));
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cell = |cell: &'static str| cell.trim().trim_matches('`');
    let rows: Vec<Vec<&str>> =
        rows.map(|line| line.trim_matches('|').split('|').map(cell).collect()).collect();
    assert!(rows.len() > 1, "{head} has no rows");
    rows
}

/// The blocks of a kind, in order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let begins = format!("\n```{kind}\n");
    DOCUMENT.split(&begins).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text} is no JSON"))
}

/// Puts a value where a path with dots leads.
fn put(traits: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(traits.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = traits.entry(first).or_insert_with(|| json!({}));
            put(inner.as_object_mut().unwrap(), rest, value);
        }
    }
}

/// An identify with one trait, and what its record cannot do without.
fn with_trait(path: &str, value: Value) -> Value {
    let mut traits = Map::new();
    put(&mut traits, "email", json!("ada@example.com"));
    if path.starts_with("company.") {
        put(&mut traits, "company.name", json!("Example Ltd"));
    }
    if path.starts_with("deal.") {
        put(&mut traits, "deal.name", json!("Renewal"));
        put(&mut traits, "deal.amount", json!(1));
    }
    put(&mut traits, path, value);
    identify("ada@example.com", Value::Object(traits))
}

/// What becomes of a trait: each field with what is sent, or why there is none.
fn became(explanation: &Explanation, path: &str) -> Vec<(String, String)> {
    if let Ends::DeadLetter(reason) = explanation.ends {
        return vec![(String::new(), reason.as_str().to_owned())];
    }
    let set = explanation.mapped.iter().filter(|set| set.trait_path == path);
    let set: Vec<_> = set.map(|set| (format!("{} {}", set.field, set.how), set.sent.to_string())).collect();
    if !set.is_empty() {
        return set;
    }
    let ignored = explanation.ignored.iter().filter(|ignored| ignored.trait_path == path);
    ignored.map(|ignored| (String::new(), format!("ignored: {}", ignored.why))).collect()
}

#[test]
fn traits_reach_the_fields_that_the_document_says() {
    let mut wrong: Vec<String> = Vec::new();
    for row in table("| trait | value | field | found by |") {
        let [path, given, field, how] = row[..] else { panic!("{row:?}") };
        let explanation = explained("", &with_trait(path, value(given)));
        let became: Vec<String> = became(&explanation, path)
            .into_iter()
            .map(|(place, what)| if place.is_empty() { format!("- {what}") } else { place })
            .collect();
        let expected: Vec<String> =
            field.split(", ").map(|field| format!("{} {how}", field.trim_matches('`'))).collect();
        if became != expected {
            wrong.push(format!("{row:?} became {became:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_are_sent_or_refused_as_the_document_says_and_every_type_has_an_example() {
    let mut wrong: Vec<String> = Vec::new();
    let mut types = BTreeSet::new();
    for row in table("| trait | type | value | sent | sent with `strict` |") {
        let [path, kind, given, lossless, strict] = row[..] else { panic!("{row:?}") };
        types.insert(kind.split(',').next().unwrap().trim_matches('`'));
        for (settings, expected) in [("", lossless), ("coercion = \"strict\"\n", strict)] {
            let explanation = explained(settings, &with_trait(path, value(given)));
            let became = became(&explanation, path);
            let came = became
                .first()
                .map(
                    |(_, what)| if what.starts_with("ignored") { "ignored".to_owned() } else { what.clone() },
                )
                .unwrap_or_default();
            let normal = serde_json::from_str::<Value>(expected).map(|value| value.to_string());
            if came != normal.unwrap_or_else(|_| expected.to_owned()) {
                wrong.push(format!("{row:?} {settings:?} became {came}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let named = table("| field type | lossless (the default) | strict | sent as |");
    for cell in named.iter().map(|row| row[0]).filter(|cell| *cell != "any other type") {
        // `date_time_split` is no field of the sandbox's contacts.
        for name in cell
            .split('`')
            .step_by(2)
            .flat_map(|names| names.split(", "))
            .filter(|name| *name != "date_time_split")
        {
            let is_type =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !name.is_empty();
            assert!(!is_type || types.contains(name), "{name} has no example: {types:?}");
        }
    }
}

#[test]
fn a_user_id_is_read_as_the_document_says() {
    let mut wrong: Vec<String> = Vec::new();
    for row in table("| `userId` | read as |") {
        let [given, read] = row[..] else { panic!("{row:?}") };
        let event =
            json!({"type": "identify", "userId": value(given), "traits": {"email": "ada@example.com"}});
        let explanation = explained("", &event);
        let came = match explanation.ends {
            Ends::DeadLetter(reason) if reason.as_str() == "missing_user_id" => "absent".to_owned(),
            Ends::DeadLetter(reason) => reason.as_str().to_owned(),
            Ends::Skip(_) | Ends::Deliver => explanation
                .mapped
                .iter()
                .find(|set| set.trait_path == "userId")
                .map_or("-".to_owned(), |set| set.sent.to_string()),
        };
        if came != read {
            wrong.push(format!("{row:?} became {came}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_that_name_nobody_count_as_absent_each_of_them() {
    let (_, rest) = DOCUMENT.split_once("* Words that stand in `userId` by accident").unwrap();
    let bullet = rest.split("\n*").next().unwrap();
    let words: Vec<&str> = bullet.split('`').skip(1).step_by(2).collect();
    assert!(words.len() >= 14, "{words:?}");
    for word in words.iter().flat_map(|word| [(*word).to_owned(), word.to_uppercase()]) {
        let event = json!({"type": "identify", "userId": word, "traits": {"email": "ada@example.com"}});
        let reason = explained("", &event).ends.reason();
        assert_eq!(reason, Some("missing_user_id"), "{word}");
    }
}

#[test]
fn events_without_a_user_id_become_what_the_document_says() {
    let no_user = |more: Value| {
        let mut event = json!({"type": "identify"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let address = no_user(json!({"traits": {"email": "ada@example.com"}}));
    let rows = table("| event | becomes |");
    let tried = [
        (
            "a track or page",
            vec![
                json!({"type": "track", "event": "E"}),
                json!({"type": "page", "properties": {"url": "https://x"}}),
            ],
            "skip anonymous",
        ),
        (
            "an identify without an e-mail address",
            vec![no_user(json!({"traits": {"firstName": "Ada"}}))],
            "skip anonymous",
        ),
        (
            "an identify whose `email` is no address",
            vec![no_user(json!({"traits": {"email": "nobody"}}))],
            "dead_letter invalid_email",
        ),
        ("an identify with an e-mail address", vec![address.clone()], "dead_letter missing_user_id"),
    ];
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), tried.each_ref().map(|(row, ..)| *row));
    for (row, (_, events, expected)) in rows.iter().zip(tried) {
        for event in events {
            let ends = explained("", &event).ends;
            assert_eq!(
                format!("{} {}", ends.as_str(), ends.reason().unwrap_or_default()),
                expected,
                "{event}"
            );
        }
        let (outcome, reason) = expected.split_once(' ').unwrap();
        assert!(row[1].contains(reason) && row[1].starts_with(&outcome.replace('_', " ")[..4]), "{row:?}");
    }
    let by_email = explained("anonymous_identify = \"by_email\"\n", &address);
    assert_eq!(by_email.ends, Ends::Deliver);
    assert!(by_email.mapped.iter().all(|set| set.field != "external_id"));
}

#[test]
fn every_reason_to_skip_has_an_event_that_is_skipped_for_it() {
    let ada = json!({"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.com"}});
    let with = |key: &str, value: Value| {
        let mut event = ada.clone();
        event[key] = value;
        event
    };
    let events = [
        (SkipReason::UnsupportedType, "", with("type", json!("screen"))),
        (SkipReason::UnsupportedType, "", with("type", json!("Identify"))),
        (SkipReason::DisabledType, "events = [\"track\"]\n", ada.clone()),
        (SkipReason::IntegrationDisabled, "", with("integrations", json!({"All": false}))),
        (SkipReason::Anonymous, "", json!({"type": "track", "event": "E"})),
    ];
    for (reason, settings, event) in &events {
        assert_eq!(explained(settings, event).ends, Ends::Skip(*reason), "{event}");
    }
    let tried: BTreeSet<&str> = events.iter().map(|(reason, ..)| reason.as_str()).collect();
    let rows: BTreeSet<&str> = table("| reason | when |").into_iter().map(|row| row[0]).collect();
    // A duplicate takes two events: `skip_duplicate` is asked for it.
    let left: Vec<&&str> = rows.difference(&tried).collect();
    assert_eq!(left, [&"duplicate"]);
}

#[test]
fn the_first_example_becomes_what_is_said_below_it() {
    let event: Value = serde_json::from_str(blocks("json")[0]).unwrap();
    let explanation = explained("", &event);
    assert_eq!(explanation.ends, Ends::Deliver);
    let (_, rest) = DOCUMENT.split_once("\nbecomes the contact").unwrap();
    let sentence = rest.split("\n\n").next().unwrap();
    for field in sentence.split('`').skip(3).step_by(2) {
        assert!(explanation.mapped.iter().any(|set| set.field == field), "{field}");
    }
    for (entity, name) in [("sales account", "Example.com"), ("deal", "Sample Deal")] {
        assert!(sentence.replace('\n', " ").contains(&format!("{entity} {name}")), "{sentence}");
        let named = explanation.mapped.iter().any(|set| set.field == "name" && set.sent == name);
        assert!(named, "{name}: {:?}", explanation.mapped);
    }
    assert!(explanation.ignored.is_empty(), "{:?}", explanation.ignored);
}

#[test]
fn the_settings_that_the_document_shows_are_settings() {
    let account = "[[accounts]]\nname = \"acme\"\nurl = \"acme\"\napi_key = { env = \"K\" }\n";
    for block in blocks("toml") {
        let text = format!("{account}{block}");
        let parsed = config::parse(&text, Path::new("test.toml"), &|_| None, SecretsNeeded::None);
        assert!(parsed.is_ok(), "{block}: {:?}", parsed.err());
    }
}
