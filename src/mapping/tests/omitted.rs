//! Accounts that leave out invalid values: the rest is written, and some values are never left out.

use super::*;

fn omitting(traits: &Value) -> Mapping {
    identify_with(MappingRules { invalid_value: InvalidValue::Omit, ..MappingRules::default() }, traits)
}

/// Entity, field and trait of each omitted value.
fn reported(mapping: &Mapping) -> Vec<(Entity, &str, &str)> {
    let omitted = mapping.omitted.iter();
    omitted.map(|omitted| (omitted.entity, omitted.field.as_str(), omitted.trait_path.as_str())).collect()
}

#[test]
fn a_value_that_does_not_fit_is_left_out_and_the_rest_is_written() {
    let cases = [
        ("total_sessions", json!("many")),
        ("first_name", json!("x".repeat(256))),
        ("lifecycle_stage_id", json!("Nobody")),
        ("subscription_types", json!(["News", "Gossip"])),
        ("emails", json!(["no address"])),
        ("cf_plan", json!("Gone")),
        ("cf_score", exact("1e400")),
        ("cf_active", json!(1)),
        ("cf_born", json!("soon")),
    ];
    for (name, value) in cases {
        let mapping = omitting(&json!({"city": "Rome", name: value}));
        assert_eq!(reported(&mapping), [(Entity::Contact, name, name)]);
        assert!(!mapping.omitted[0].why.is_empty() && mapping.ignored.is_empty());
        let record = contact(mapping).record;
        assert_eq!(
            (&record.fields["city"], &record.fields["emails"]),
            (&json!("Rome"), &json!("ada@example.com"))
        );
        assert!(
            name == "emails" || !record.fields.contains_key(name) && !record.custom_field.contains_key(name)
        );
        let refused = identify(&json!({"city": "Rome", name: value}));
        assert!(refused.verdict.is_err() && refused.omitted.is_empty(), "{name}");
    }
}

#[test]
fn a_required_field_whose_value_is_left_out_is_not_missing_as_well() {
    let mapping = omitting(&json!({"deal": {"name": "Big", "amount": "much"}}));
    assert_eq!(reported(&mapping), [(Entity::Deal, "amount", "deal.amount")]);
    assert!(!contact(mapping).deal.unwrap().record.fields.contains_key("amount"));
}

#[test]
fn a_company_or_deal_without_a_valid_name_is_left_out_as_a_whole() {
    let long = "x".repeat(256);
    let unnamed = [
        json!({"phone": "1"}),
        json!({"name": " ", "phone": "1"}),
        json!({"name": long, "phone": long}),
        json!([1]),
    ];
    for value in unnamed {
        let mapping = omitting(&json!({"company": value, "city": "Rome"}));
        assert_eq!(mapping.omitted.len(), 1, "{value}: {:?}", mapping.omitted);
        assert_eq!(
            (mapping.omitted[0].entity, mapping.omitted[0].field.as_str()),
            (Entity::SalesAccount, "sales_account")
        );
        let contact = contact(mapping);
        assert_eq!((contact.company, &contact.record.fields["city"]), (None, &json!("Rome")));
    }
    for value in [json!("Big"), json!({"amount": 1}), json!({"name": 7.5, "amount": {}})] {
        let mapping = omitting(&json!({"deal": value}));
        let whole = mapping.omitted.iter().any(|omitted| omitted.field == "deal");
        assert_eq!(contact(mapping).deal.is_none(), whole, "{value}");
    }
}

#[test]
fn identities_and_values_with_a_setting_of_their_own_are_never_left_out() {
    let long = format!("u-{}", "x".repeat(254));
    let mapper =
        Mapper::new(MappingRules { invalid_value: InvalidValue::Omit, ..MappingRules::default() }, schema());
    let reason = |user: &str, traits: Value| {
        let body = json!({"type": "identify", "userId": user, "traits": traits});
        refusal(map_body(&mapper, &body)).reason
    };
    assert_eq!(reason("u", json!({"email": "nobody"})), DeadLetterReason::InvalidEmail);
    assert_eq!(reason(&long, json!({"email": "a@b.co"})), DeadLetterReason::InvalidField);
    assert_eq!(reason("a@b.co", json!({"cfGone": 1})), DeadLetterReason::UnknownCustomField);
}

#[test]
fn numbers_that_no_float_holds_are_refused_wherever_they_would_be_written() {
    for number in ["1e400", "-1e309", "1e-400", "0.0000e-1", &format!("1{}", "0".repeat(400))] {
        let value: Value = serde_json::from_str(number).unwrap();
        let zero = number.starts_with("0.0");
        for (name, value) in [
            ("total_sessions", value.clone()),
            ("cf_score", json!(number)),
            ("strange", value.clone()),
            ("lists", json!([1, value])),
            ("phone_numbers", json!([{"value": "1", "more": {"x": [value]}}])),
        ] {
            let mapping = identify(&json!({name: value}));
            assert_eq!(mapping.verdict.is_ok(), zero, "{name}: {number}");
        }
        // A text field gets the digits as text, and so do tags.
        assert!(identify(&json!({"cf_alternate_number": "1e400"})).verdict.is_ok());
        assert!(identify(&json!({"tags": [1, value]})).verdict.is_ok());
    }
}

#[test]
fn a_deals_amount_is_refused_where_freshsales_refuses_it() {
    for (amount, fits) in
        [("9007199254740991", true), ("9007199254740993", false), ("-1e16", false), ("0.1", true)]
    {
        let amount: Value = serde_json::from_str(amount).unwrap();
        let mapping = identify(&json!({"deal": {"name": "Big", "amount": amount}}));
        assert_eq!(mapping.verdict.is_ok(), fits, "{amount}");
        assert!(identify(&json!({"cf_score": amount})).verdict.is_ok(), "a custom number field keeps digits");
    }
}

#[test]
fn a_contact_has_at_most_ten_addresses() {
    let addresses = |count: usize| (0..count).map(|n| format!("a{n}@example.com")).collect::<Vec<_>>();
    assert!(identify(&json!({"emails": addresses(9)})).verdict.is_ok());
    let refusal = refusal(identify(&json!({"emails": addresses(10)})));
    assert_eq!(refusal.reason, DeadLetterReason::InvalidField);
    assert_eq!(refusal.problems[0].got.as_deref(), Some("11 addresses"));
    // A repeated address counts once.
    assert!(identify(&json!({"emails": vec!["ada@example.com"; 50]})).verdict.is_ok());
}

fn exact(number: &str) -> Value {
    serde_json::from_str(number).unwrap()
}
