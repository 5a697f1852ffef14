//! Which contact an event belongs to, and the list of a contact's addresses.

use super::*;
use crate::freshsales::Call;

fn identified(user_id: &Value, email: &Value) -> Mapping {
    let body = json!({"type": "identify", "userId": user_id, "traits": {"email": email}});
    map_body(&Mapper::new(MappingRules::default(), schema()), &body)
}

#[test]
fn a_contact_is_identified_by_email_and_any_other_user_id_is_its_external_id() {
    let cases = [
        (json!("u-1"), json!(" Ada@Example.com "), "ada@example.com", Some("u-1")),
        (json!("ADA@example.com"), json!("ada@example.com"), "ada@example.com", None),
        (json!("Bob@example.com"), json!("ada@example.com"), "ada@example.com", Some("Bob@example.com")),
        (json!(" Bob@Example.com"), json!(null), "bob@example.com", None),
        (json!("bob@example.com"), json!("  "), "bob@example.com", None),
        (json!(42), json!("ada@example.com"), "ada@example.com", Some("42")),
    ];
    for (user_id, email, address, external) in cases {
        let contact = contact(identified(&user_id, &email));
        assert_eq!(contact.email.as_deref(), Some(address));
        assert_eq!(contact.record.fields["emails"], json!(address));
        assert_eq!(contact.user_id.as_deref(), external);
        assert_eq!(contact.record.fields.get("external_id").and_then(Value::as_str), external);
    }
}

#[test]
fn without_an_address_the_user_id_identifies_the_contact() {
    for email in [json!(null), json!(""), json!(" ")] {
        let contact = contact(identified(&json!("u-1"), &email));
        assert_eq!((contact.email, contact.user_id.as_deref()), (None, Some("u-1")));
        assert!(!contact.record.fields.contains_key("emails"), "an update changes no address");
        assert_eq!(contact.record.fields["external_id"], json!("u-1"));
    }
}

#[test]
fn a_bad_address_is_invalid() {
    let cases = [
        (json!("ada@example.com"), json!("nobody"), DeadLetterReason::InvalidEmail),
        (json!("ada@example.com"), json!("Ada <ada@example.com>"), DeadLetterReason::InvalidEmail),
        (json!("ada@example.com"), json!(5), DeadLetterReason::InvalidEmail),
        (json!("ada@example.com"), json!(["ada@example.com"]), DeadLetterReason::InvalidEmail),
        (json!("ada@example.com"), json!({"a": 1}), DeadLetterReason::InvalidEmail),
        (json!("ada@example.com"), json!(true), DeadLetterReason::InvalidEmail),
    ];
    for (user_id, email, reason) in cases {
        assert_eq!(refusal(identified(&user_id, &email)).reason, reason, "{user_id} {email}");
    }
}

#[test]
fn external_id_is_sent_without_such_a_field_and_wins_over_a_trait() {
    let mapping = identify(&json!({"externalId": "other"}));
    assert_eq!(why(&mapping, "externalId"), Some("userId sets this field"));
    assert_eq!(contact(mapping).record.fields["external_id"], json!("u-1"));
    let bare = Mapper::new(MappingRules::default(), Schema::default());
    let body = json!({"type": "identify", "userId": "u-1", "traits": {"email": "a@b.co"}});
    assert_eq!(contact(map_body(&bare, &body)).record.fields["external_id"], json!("u-1"));
    let own = json!({"type": "identify", "userId": "a@b.co", "traits": {"externalId": "mine"}});
    let mapper = Mapper::new(MappingRules::default(), schema());
    assert_eq!(contact(map_body(&mapper, &own)).record.fields["external_id"], json!("mine"));
}

#[test]
fn further_addresses_follow_the_identifying_one() {
    let first = json!({"value": "ada@example.com", "is_primary": true});
    let second = json!({"value": "Ada@home.example", "is_primary": false});
    let cases = [
        (json!("Ada@home.example"), json!([first, second])),
        (
            json!(["ADA@example.com", " Ada@home.example ", "ada@HOME.example", "", null]),
            json!([first, second]),
        ),
        (json!([{"value": "Ada@home.example", "is_primary": true}]), json!([first, second])),
        (
            json!([{"value": "ada@example.com", "label": "Work"}]),
            json!([{"value": "ada@example.com", "label": "Work", "is_primary": true}]),
        ),
    ];
    for (emails, expected) in cases {
        assert_eq!(
            contact(identify(&json!({"emails": emails}))).record.fields["emails"],
            expected,
            "{emails}"
        );
    }
    for wrong in [json!("nobody"), json!([5]), json!([{"address": "a@b.co"}]), json!(7), json!([["a@b.co"]])]
    {
        assert_eq!(
            refusal(identify(&json!({"emails": wrong}))).reason,
            DeadLetterReason::InvalidField,
            "{wrong}"
        );
    }
    let empty = identify(&json!({"emails": []}));
    assert_eq!(contact(empty).record.fields["emails"], json!([first]));
}

#[test]
fn an_activity_is_identified_by_the_events_email_if_it_has_one() {
    let mapper = Mapper::new(MappingRules::default(), Schema::default());
    let cases = [
        (
            json!(" Ada@Example.com "),
            json!({"email": "bob@example.com"}),
            Identity::Email("ada@example.com".into()),
        ),
        (json!("u-1"), json!({"email": " Bob@example.com"}), Identity::Email("bob@example.com".into())),
        (json!("u-1"), json!({"email": "nobody"}), Identity::UserId("u-1".into())),
        (json!(7), json!({"email": 5}), Identity::UserId("7".into())),
        (json!("u-1"), json!(null), Identity::UserId("u-1".into())),
        (json!("u-1"), json!([]), Identity::UserId("u-1".into())),
        (json!("u-1"), json!({"Email": "bob@example.com"}), Identity::Email("bob@example.com".into())),
        (json!("u-1"), json!({"e-mail": "bob@example.com"}), Identity::Email("bob@example.com".into())),
        (
            json!("u-1"),
            json!({"E_MAIL": "eve@example.com", "email": "bob@example.com"}),
            Identity::Email("bob@example.com".into()),
        ),
        (
            json!("u-1"),
            json!({"E_MAIL": "bob@example.com", "Email": "eve@example.com", "email": null}),
            Identity::Email("bob@example.com".into()),
        ),
    ];
    for (user_id, traits, expected) in cases {
        let context = json!({"traits": traits});
        let track = json!({"type": "track", "event": "E", "userId": user_id, "context": context});
        let Ok(Mapped::Track(activity)) = map_body(&mapper, &track).verdict else { panic!("no track") };
        assert_eq!(activity.identity, expected);
        let page = json!({"type": "page", "userId": user_id, "context": context, "properties": {"url": "u"}});
        let Ok(Mapped::Page(view)) = map_body(&mapper, &page).verdict else { panic!("no page") };
        assert_eq!(view.identity, expected);
    }
}

#[test]
fn a_property_called_name_is_sent_as_property_name() {
    let mapper = Mapper::new(MappingRules::default(), Schema::default());
    let cases = [
        (
            json!({"z": 1, "name": "x", "a": {"b": [null]}}),
            None,
            r#"{"name":"Bought","z":1,"property_name":"x","a":{"b":[null]}}"#,
        ),
        (json!({"name": null}), None, r#"{"name":"Bought","property_name":null}"#),
        (json!({"name": null, "property_name": "own"}), None, r#"{"name":"Bought","property_name":"own"}"#),
        (
            json!({"name": "x", "property_name": "own"}),
            Some("property_name is sent instead"),
            r#"{"name":"Bought","property_name":"own"}"#,
        ),
        (json!({"Name": "x"}), None, r#"{"name":"Bought","Name":"x"}"#),
    ];
    for (properties, ignored, sent) in cases {
        let body = json!({"type": "track", "event": "Bought", "userId": "u", "properties": properties});
        let mapping = map_body(&mapper, &body);
        assert_eq!(why(&mapping, "properties.name"), ignored, "{properties}");
        let Ok(Mapped::Track(activity)) = mapping.verdict else { panic!("no track") };
        assert_eq!(activity.name, "Bought");
        let call = Call::track_event("u", &activity.name, activity.properties.as_str());
        assert_eq!(call.json()["event"].to_string(), sent);
    }
}

#[test]
fn a_pages_name_and_category_join_properties_that_have_none() {
    let mapper = Mapper::new(MappingRules::default(), Schema::default());
    let cases = [
        (json!({"url": "u", "title": "T"}), json!({"url": "u", "title": "T", "name": "N", "category": "C"})),
        (
            json!({"url": "u", "name": "own", "category": null}),
            json!({"url": "u", "name": "own", "category": "C"}),
        ),
    ];
    for (properties, expected) in cases {
        let body =
            json!({"type": "page", "userId": "u", "name": "N", "category": "C", "properties": properties});
        let Ok(Mapped::Page(view)) = map_body(&mapper, &body).verdict else { panic!("no page") };
        assert_eq!(view.url, "u");
        let call = Call::track_page_view("u", &view.url, view.properties.as_str(), &view.added);
        assert_eq!(call.json()["page_view"], expected);
    }
}

#[test]
fn a_user_id_too_long_for_external_id_is_refused_here() {
    assert!(identified(&json!("u".repeat(255)), &json!("ada@example.com")).verdict.is_ok());
    let refusal = refusal(identified(&json!("u".repeat(256)), &json!("ada@example.com")));
    assert_eq!(refusal.reason, DeadLetterReason::InvalidField);
    assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("userId"));
    let address = format!("{}@{}example.com", "a".repeat(60), "sub.".repeat(40));
    assert!(identified(&json!(address), &json!(null)).verdict.is_ok());
}

#[test]
fn properties_are_passed_on_as_they_are_written() {
    let properties = r#"{ "b" : 1.10e+05, "a":"\u00e9\/", "name":0,"b":[ 1 , 2 ], "n":1e400,"$serde_json::private::Number":"7"}"#;
    let body = format!(r#"{{"type":"track","event":"Bought","userId":"u","properties":{properties}}}"#);
    let event = segment::decode(&body.into()).unwrap();
    let mapping = map_event(&Mapper::new(MappingRules::default(), Schema::default()), &event);
    let Ok(Mapped::Track(activity)) = mapping.verdict else { panic!("no track") };
    let call = Call::track_event("u", &activity.name, activity.properties.as_str());
    assert_eq!(
        String::from_utf8(call.body.unwrap().to_vec()).unwrap(),
        r#"{"identifier":"u","event":{"name":"Bought","b":1.10e+05,"a":"\u00e9\/","property_name":0,"b":[ 1 , 2 ],"n":1e400,"$serde_json::private::Number":"7"},"sdk":"ruby"}"#
    );
    let call =
        Call::track_event("u", "Bought", r#"{"n\u0061me":1,"property_\u006eame":{"a":2},"b":3,"name":4}"#);
    assert_eq!(
        String::from_utf8(call.body.unwrap().to_vec()).unwrap(),
        r#"{"identifier":"u","event":{"name":"Bought","property_\u006eame":{"a":2},"b":3},"sdk":"ruby"}"#
    );
}

#[test]
fn an_address_is_found_in_any_spelling_and_the_exact_one_wins() {
    for (traits, address, ignored) in [
        (json!({"Email": "a@b.co"}), "a@b.co", None),
        (json!({"E-Mail": "a@b.co"}), "a@b.co", None),
        (json!({"e_mail": " A@b.co "}), "a@b.co", None),
        (json!({"EMAIL": "x@b.co", "email": "a@b.co"}), "a@b.co", Some("EMAIL")),
        (json!({"EMAIL": "a@b.co", "Email": "x@b.co"}), "a@b.co", Some("Email")),
        (json!({"email": null, "Email": "a@b.co"}), "a@b.co", None),
    ] {
        let body = json!({"type": "identify", "userId": "u-1", "traits": traits});
        let mapping = map_body(&Mapper::new(MappingRules::default(), schema()), &body);
        let reported: Vec<_> = mapping.ignored.iter().map(|ignored| ignored.trait_path.as_str()).collect();
        assert_eq!(reported, Vec::from_iter(ignored), "{traits}");
        assert_eq!(contact(mapping).email.as_deref(), Some(address), "{traits}");
    }
}

/// Why an identify without a `userId` is skipped or refused; `None` if it is mapped.
fn unnamed(rule: AnonymousIdentify, event: &Value) -> Option<&'static str> {
    let rules = MappingRules { anonymous_identify: rule, ..MappingRules::default() };
    let event = segment::decode(&event.to_string().into()).unwrap();
    match Mapper::new(rules, schema()).check_user(&event) {
        Ok(()) => None,
        Err(segment::Undelivered::Skip(reason)) => Some(reason.as_str()),
        Err(segment::Undelivered::Refuse(refusal)) => Some(refusal.reason.as_str()),
    }
}

#[test]
fn without_a_user_the_address_and_the_accounts_rule_decide() {
    let (by_email, missing) = (None, Some("missing_user_id"));
    let cases = [
        (json!({"email": "joe@example.com"}), missing, by_email),
        (json!({"E-Mail": " Joe@Example.com "}), missing, by_email),
        (json!({"plan": "trial"}), Some("anonymous"), Some("anonymous")),
        (json!({"email": " "}), Some("anonymous"), Some("anonymous")),
        (json!({"email": null}), Some("anonymous"), Some("anonymous")),
        (json!({"email": "nobody"}), Some("invalid_email"), Some("invalid_email")),
        (json!({"email": 5}), Some("invalid_email"), Some("invalid_email")),
    ];
    for (traits, dead_letter, by_email) in cases {
        for user in [json!(null), json!(""), json!(" \n"), json!("undefined"), json!(0)] {
            let body = json!({"type": "identify", "userId": user, "traits": traits});
            assert_eq!(unnamed(AnonymousIdentify::DeadLetter, &body), dead_letter, "{body}");
            assert_eq!(unnamed(AnonymousIdentify::ByEmail, &body), by_email, "{body}");
        }
        let named = json!({"type": "identify", "userId": "u-1", "traits": traits});
        assert_eq!(unnamed(AnonymousIdentify::DeadLetter, &named), None);
    }
    for activity in [
        json!({"type": "track", "event": "E", "userId": "NaN", "context": {"traits": {"email": "a@b.co"}}}),
        json!({"type": "page", "properties": {"url": "u"}}),
    ] {
        assert_eq!(unnamed(AnonymousIdentify::ByEmail, &activity), Some("anonymous"));
    }
}

#[test]
fn a_contact_without_a_user_has_no_external_id() {
    let rules = MappingRules { anonymous_identify: AnonymousIdentify::ByEmail, ..MappingRules::default() };
    let body = json!({"type": "identify", "traits": {"email": "Joe@example.com", "firstName": "Joe"}});
    let contact = contact(map_body(&Mapper::new(rules, schema()), &body));
    assert_eq!((contact.email.as_deref(), contact.user_id), (Some("joe@example.com"), None));
    let names: Vec<_> = contact.record.fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["emails", "first_name"]);
}
