//! Whole records: companies, deals, what is required, the order of problems.

use super::*;

fn paths(refusal: &Refusal) -> Vec<&str> {
    refusal.problems.iter().filter_map(|problem| problem.trait_path.as_deref()).collect()
}

#[test]
fn a_company_is_an_object_or_its_name() {
    for (company, name) in [
        (json!({"name": " Example "}), "Example"),
        (json!("Example"), "Example"),
        (json!({"name": 37}), "37"),
        (json!(37), "37"),
    ] {
        let written = contact(identify(&json!({"company": company}))).company.unwrap();
        assert_eq!(written.name, name);
        assert_eq!(written.record.fields["name"], json!(name));
    }
    assert_eq!(contact(identify(&json!({"company": null, "deal": null}))).company, None);
    for nameless in [json!({"website": "x"}), json!({"name": " ", "id": 1, "website": "x"})] {
        let refusal = refusal(identify(&json!({"company": nameless})));
        assert_eq!(refusal.reason, DeadLetterReason::InvalidField, "{nameless}");
        assert_eq!(paths(&refusal), ["company.name"], "{nameless}");
        assert_eq!(refusal.problems[0].field.as_deref(), Some("name"));
    }
    for wrong in [json!(true), json!(false), json!(0), json!(["E"]), raw("-0.0"), raw("0e7")] {
        let refusal = refusal(identify(&json!({"company": wrong})));
        assert_eq!((refusal.reason, paths(&refusal)), (DeadLetterReason::InvalidField, vec!["company"]));
    }
    assert_eq!(
        refusal(identify_with(strict(), &json!({"company": 37}))).reason,
        DeadLetterReason::InvalidField
    );
}

#[test]
fn a_deal_is_an_object_with_the_required_fields() {
    for wrong in [json!("D"), json!(5), json!(0), json!(["D"]), json!(true), json!(false)] {
        let refusal = refusal(identify(&json!({"deal": wrong})));
        assert_eq!((refusal.reason, paths(&refusal)), (DeadLetterReason::InvalidField, vec!["deal"]));
    }
    let missing = refusal(identify(&json!({"deal": {"expectedClose": "2024-01-01"}})));
    assert_eq!((missing.reason, paths(&missing)), (DeadLetterReason::InvalidField, vec!["deal.name"]));
    for without in
        [json!({"name": "D", "amount": ""}), json!({"name": "D"}), json!({"name": "D", "amount": null})]
    {
        let deal = contact(identify(&json!({"deal": without}))).deal.unwrap();
        assert_eq!(lacking(&deal.record), [("amount", "deal.amount", None)], "an empty number is not sent");
    }
    let whole = contact(identify(&json!({"deal": {"name": "D", "amount": 1}}))).deal.unwrap();
    assert_eq!(lacking(&whole.record), []);
    let bad = refusal(identify(&json!({"deal": {"name": "D", "amount": "much"}})));
    assert_eq!(bad.problems.len(), 1, "a bad value is not missing as well");
}

#[test]
fn a_name_is_required_whatever_the_schema_says() {
    let mapper = Mapper::new(MappingRules::default(), Schema::default());
    let body = |company| json!({"type": "identify", "userId": "a@b.co", "traits": {"company": company}});
    assert_eq!(contact(map_body(&mapper, &body(json!("E")))).company.unwrap().name, "E");
    let nameless = refusal(map_body(&mapper, &body(json!({"plan": "x"}))));
    assert_eq!(nameless.reason, DeadLetterReason::InvalidField);
}

/// Parses a value; its numbers keep their digits.
fn raw(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_empty_company_or_deal_or_one_with_only_an_id_counts_as_not_given() {
    let empty = [
        json!({}),
        json!([]),
        json!(""),
        json!("  "),
        json!({"name": null}),
        json!({"name": " "}),
        json!({"name": "", "address": {"city": null}, "tags": [null, ""]}),
        json!({"id": null}),
    ];
    let ids = [json!({"id": "c-9"}), json!({"ID": 9, "name": ""}), json!({"id": {"a": 1}, "name": null})];
    for (values, expected) in [(&empty[..], "empty"), (&ids[..], "an id alone names no record")] {
        for value in values {
            for key in ["company", "deal"] {
                let mapping = identify(&json!({key: value}));
                assert_eq!(why(&mapping, key), Some(expected), "{key} {value}");
                assert_eq!(mapping.ignored.len(), 1, "{key} {value}");
                let contact = contact(mapping);
                assert_eq!((contact.company, contact.deal), (None, None));
            }
        }
    }
    // An override may use the id as the name.
    let rules = MappingRules {
        fields: PerEntity { sales_account: overrides(&[("id", "name")]), ..PerEntity::default() },
        ..MappingRules::default()
    };
    let company = contact(identify_with(rules, &json!({"company": {"id": "Example"}}))).company.unwrap();
    assert_eq!(company.name, "Example");
}

#[test]
fn fields_that_linking_sets_are_not_missing() {
    let required = json!({"required": true});
    let mut schema = schema();
    let replace = |fields: &mut Fields, name: &str, kind| {
        fields.fields.retain(|field| field.name != name);
        fields.fields.push(field(name, kind, &required));
    };
    for (name, kind) in [
        ("emails", "group_field"),
        ("sales_accounts", "group_field"),
        ("external_id", "text"),
        ("created_at", "date"),
    ] {
        replace(&mut schema.contact, name, kind);
    }
    for (name, kind) in [("sales_account_id", "auto_complete"), ("contacts", "auto_complete")] {
        replace(&mut schema.deal, name, kind);
    }
    let mapper = Mapper::new(MappingRules::default(), schema);
    let identify =
        |user, traits| map_body(&mapper, &json!({"type": "identify", "userId": user, "traits": traits}));
    let deal = json!({"name": "D", "amount": 1});
    let whole = identify("u-1", json!({"email": "a@b.co", "company": "E", "deal": deal}));
    assert!(whole.verdict.is_ok(), "{:?}", whole.verdict);
    let whole = contact(whole);
    assert_eq!((lacking(&whole.record), lacking(&whole.deal.unwrap().record)), (vec![], vec![]));
    let alone = contact(identify("u-1", json!({"email": "a@b.co", "deal": deal})));
    assert_eq!(lacking(&alone.record), [("sales_accounts", "company", None)]);
    let deal = alone.deal.unwrap();
    assert_eq!(lacking(&deal.record), [("sales_account_id", "deal.salesAccountId", None)]);
    let unnamed = contact(identify("a@b.co", json!({"company": "E"})));
    assert_eq!(lacking(&unnamed.record), [("external_id", "externalId", None)]);
}

/// Field, trait and default of each missing required field.
fn lacking(record: &Record) -> Vec<(&str, &str, Option<Value>)> {
    let each = |lacking: &'_ Lacking| lacking.default.clone();
    record.lacking.iter().map(|one| (one.field.as_str(), one.trait_path.as_str(), each(one))).collect()
}

/// The small account, whose contacts require a plan and a number of sessions.
fn demanding(rules: MappingRules) -> Mapper {
    let mut schema = schema();
    for field in &mut schema.contact.fields {
        field.required = matches!(field.name.as_str(), "cf_plan" | "total_sessions");
    }
    Mapper::new(rules, schema)
}

#[test]
fn a_missing_required_field_has_the_accounts_default() {
    let defaults = |pairs: &[(&str, Value)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        MappingRules { defaults: of_contacts(pairs), ..MappingRules::default() }
    };
    let event = json!({"type": "identify", "userId": "a@b.co", "traits": {"firstName": "A"}});
    let sessions = |default| ("total_sessions", "totalSessions", default);
    let plan = |default| ("cf_plan", "cfPlan", default);
    for (rules, expected, bad) in [
        (defaults(&[]), [sessions(None), plan(None)], vec![]),
        // As a trait with that value would be sent.
        (
            defaults(&[("total_sessions", json!("7")), ("cfPlan", json!("PLUS"))]),
            [sessions(Some(json!(7))), plan(Some(json!("Plus")))],
            vec![],
        ),
        (
            defaults(&[("totalSessions", json!("many")), ("cf_plan", json!("Huge")), ("cf_gone", json!(1))]),
            [sessions(None), plan(None)],
            vec!["cf_gone", "cf_plan", "totalSessions"],
        ),
        (
            defaults(&[("emails", json!("b@b.co")), ("external_id", json!("u")), ("created_at", json!("x"))]),
            [sessions(None), plan(None)],
            vec!["created_at", "emails", "external_id"],
        ),
    ] {
        let mapper = demanding(rules);
        let reported: Vec<&str> = mapper.bad_defaults().iter().map(|bad| bad.key.as_str()).collect();
        assert_eq!(reported, bad);
        assert!(
            mapper.bad_defaults().iter().all(|bad| !bad.why.contains("many") && !bad.why.contains("b@b.co"))
        );
        let contact = contact(map_body(&mapper, &event));
        let mut found = lacking(&contact.record);
        found.sort_by_key(|(field, ..)| std::cmp::Reverse(*field));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_required_field_is_missing_if_its_value_is_left_out_but_not_if_it_is_refused() {
    let event =
        json!({"type": "identify", "userId": "a@b.co", "traits": {"totalSessions": "x", "cfPlan": "Plus"}});
    let omitting = MappingRules { invalid_value: InvalidValue::Omit, ..MappingRules::default() };
    let contact = contact(map_body(&demanding(omitting), &event));
    assert_eq!(lacking(&contact.record), [("total_sessions", "totalSessions", None)]);
    let refused = refusal(map_body(&demanding(MappingRules::default()), &event));
    assert_eq!(paths(&refused), ["totalSessions"]);
}

#[test]
fn every_problem_is_collected_the_email_first_then_as_written() {
    let refusal = refusal(identify(&json!({
        "cfGone": 1, "company": {"website": {}, "cfNowhere": 1}, "totalSessions": "x",
        "cfActive": 1, "email": "nobody", "deal": {"name": "D", "amount": {}},
    })));
    assert_eq!(refusal.reason, DeadLetterReason::InvalidEmail);
    assert_eq!(
        paths(&refusal),
        [
            "email",
            "cfGone",
            "company.website",
            "company.cfNowhere",
            "company.name",
            "totalSessions",
            "cfActive",
            "deal.amount"
        ]
    );
    let custom = super::refusal(identify(&json!({"cfActive": 1, "totalSessions": "x"})));
    assert_eq!(custom.reason, DeadLetterReason::InvalidCustomField);
    let default = super::refusal(identify(&json!({"totalSessions": "x", "cfActive": 1})));
    assert_eq!(default.reason, DeadLetterReason::InvalidField);
}

#[test]
fn a_problem_names_the_field_and_the_trait_and_no_value() {
    let secret = "hunter2".repeat(40);
    let refusal = refusal(identify(&json!({"firstName": secret, "cfPlan": "hunter2", "cfScore": "hunter2"})));
    insta::assert_json_snapshot!(refusal.problems, @r##"
    [
      {
        "field": "first_name",
        "trait": "firstName",
        "problem": "the text is too long",
        "expected": "a string of at most 255 characters",
        "got": "string of 280 characters"
      },
      {
        "field": "cf_plan",
        "trait": "cfPlan",
        "problem": "this is none of the field's choices",
        "expected": "one of: Basic, Plus, basic plus, Basic Plus, 7, a;b",
        "got": "string of 7 characters"
      },
      {
        "field": "cf_score",
        "trait": "cfScore",
        "problem": "this is no number",
        "expected": "a number such as 1234.5",
        "got": "string of 7 characters"
      }
    ]
    "##);
    assert!(!format!("{refusal:?}").contains("hunter2"));
}

#[test]
fn a_long_path_is_reported_cut() {
    let name = format!("cf_{}", "é".repeat(5_000));
    let refusal = refusal(identify(&json!({name: 1})));
    assert_eq!(refusal.problems[0].trait_path.as_deref().map(|path| path.chars().count()), Some(121));
}
