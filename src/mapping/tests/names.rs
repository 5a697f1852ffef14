//! Which trait sets which field.

use super::*;

/// The only field that the traits set, without those that every contact gets.
fn sets(rules: MappingRules, traits: &Value) -> Vec<(String, Value)> {
    let record = contact(identify_with(rules, traits)).record;
    let own = |name: &String| name != "emails" && name != "external_id";
    record.fields.into_iter().chain(record.custom_field).filter(|(name, _)| own(name)).collect()
}

#[test]
fn names_are_compared_without_case_and_underscores() {
    for name in
        ["firstName", "first_name", "FirstName", "FIRST_NAME", "firstname", "_first__name", "first-name"]
    {
        assert_eq!(
            sets(MappingRules::default(), &json!({name: "A"})),
            [("first_name".into(), json!("A"))],
            "{name}"
        );
    }
    for name in ["cfAlternateNumber", "cf_alternate_number", "CF_Alternate_Number", "cf-alternate-number"] {
        let set = sets(MappingRules::default(), &json!({name: "1"}));
        assert_eq!(set, [("cf_alternate_number".into(), json!("1"))], "{name}");
    }
}

#[test]
fn the_better_name_sets_the_field_and_the_other_trait_is_ignored() {
    let rules = || MappingRules {
        fields: of_contacts(overrides(&[("role", "job_title")])),
        ..MappingRules::default()
    };
    let all = json!({"title": "alias", "jobTitle": "folded", "job_title": "exact", "role": "override"});
    let ranked = ["role", "job_title", "jobTitle", "title"];
    for start in 0..ranked.len() {
        let mut traits = all.clone();
        for better in &ranked[..start] {
            traits.as_object_mut().unwrap().remove(*better);
        }
        let mapping = identify_with(rules(), &traits);
        for loser in &ranked[start + 1..] {
            assert_eq!(
                why(&mapping, loser),
                Some("another trait sets this field"),
                "{loser} to {}",
                ranked[start]
            );
        }
        assert_eq!(contact(mapping).record.fields["job_title"], all[ranked[start]]);
    }
    // Of equal ranks, the first in the document wins.
    assert_eq!(sets(MappingRules::default(), &json!({"JobTitle": "1", "jobTitle": "2"}))[0].1, json!("1"));
    // A null sets nothing.
    assert_eq!(sets(MappingRules::default(), &json!({"job_title": null, "title": "x"}))[0].1, json!("x"));
}

#[test]
fn segments_reserved_traits_are_aliases_for_contacts_only() {
    let set = sets(MappingRules::default(), &json!({"title": "CTO", "phone": "+1"}));
    assert_eq!(set, [("job_title".into(), json!("CTO")), ("work_number".into(), json!("+1"))]);
    let company = contact(identify(&json!({"company": {"name": "E", "phone": "+2"}}))).company.unwrap();
    assert_eq!(company.record.fields["phone"], json!("+2"));
}

#[test]
fn an_address_object_spreads_and_a_string_does_not() {
    let address = json!({"street": "1 Way", "city": "Oslo", "state": "O", "postalCode": "0150", "country": "NO",
        "planet": "Earth", "extra": null});
    let mapping =
        identify(&json!({"address": address, "city": "Bergen", "company": {"name": "E", "address": address},
        "deal": {"name": "D", "amount": 1}}));
    assert_eq!(why(&mapping, "address.planet"), Some("no such field"));
    assert_eq!(why(&mapping, "address.city"), Some("another trait sets this field"));
    assert_eq!(why(&mapping, "company.address.state"), Some("no such field"));
    assert_eq!(why(&mapping, "address.extra"), None);
    let contact = contact(mapping);
    for (field, value) in
        [("address", "1 Way"), ("city", "Bergen"), ("state", "O"), ("zipcode", "0150"), ("country", "NO")]
    {
        assert_eq!(contact.record.fields[field], json!(value));
    }
    let company = contact.company.unwrap().record.fields;
    assert_eq!(
        (&company["address"], &company["city"], &company["zipcode"]),
        (&json!("1 Way"), &json!("Oslo"), &json!("0150"))
    );
    assert_eq!(
        sets(MappingRules::default(), &json!({"address": "1 Way"})),
        [("address".into(), json!("1 Way"))]
    );
    let deal = json!({"deal": {"name": "D", "amount": 1, "address": {"street": "x"}}});
    assert_eq!(refusal(identify(&deal)).reason, DeadLetterReason::InvalidField);
}

#[test]
fn overrides_reach_inside_objects_the_literal_key_first() {
    let rules = || MappingRules {
        fields: of_contacts(overrides(&[("plan.name", "cf_notes"), ("firstName", "last_name")])),
        ..MappingRules::default()
    };
    assert_eq!(sets(rules(), &json!({"plan": {"name": "x"}})), [("cf_notes".into(), json!("x"))]);
    let both = identify_with(rules(), &json!({"plan": {"name": "x"}, "plan.name": "y"}));
    assert_eq!(why(&both, "plan"), Some("no such field"));
    assert_eq!(contact(both).record.custom_field["cf_notes"], json!("y"));
    let rest = identify_with(rules(), &json!({"plan": {"name": "x", "id": 3}}));
    assert_eq!(why(&rest, "plan"), Some("no such field"));
    let whole = identify_with(rules(), &json!({"plan": {"name": "x"}}));
    assert!(whole.ignored.is_empty(), "{:?}", whole.ignored);
    // An overridden trait reaches the override's field only.
    assert_eq!(sets(rules(), &json!({"firstName": "A"})), [("last_name".into(), json!("A"))]);
    let aliased = MappingRules {
        fields: of_contacts(overrides(&[("title", "cf_notes"), ("address.street", "cf_notes")])),
        ..MappingRules::default()
    };
    assert_eq!(sets(aliased, &json!({"title": "x"})), [("cf_notes".into(), json!("x"))]);
}

#[test]
fn an_override_of_the_contact_reads_the_company_without_taking_from_it() {
    let rules = || MappingRules {
        fields: of_contacts(overrides(&[
            ("company.name", "cf_notes"),
            ("company.cfX", "cf_alternate_number"),
            ("email", "job_title"),
        ])),
        ..MappingRules::default()
    };
    let mapping = identify_with(rules(), &json!({"company": {"name": "E", "cfX": "9"}}));
    assert!(mapping.ignored.is_empty(), "{:?}", mapping.ignored);
    let contact = contact(mapping);
    assert_eq!(contact.record.custom_field["cf_notes"], json!("E"));
    assert_eq!(contact.record.custom_field["cf_alternate_number"], json!("9"));
    assert_eq!(contact.record.fields["job_title"], json!("ada@example.com"));
    assert_eq!(contact.company.unwrap().name, "E");
}

#[test]
fn company_and_deal_have_overrides_of_their_own() {
    let rules = MappingRules {
        fields: PerEntity {
            sales_account: overrides(&[("employees", "number_of_employees"), ("legal.name", "name")]),
            deal: overrides(&[("closing", "expected_close")]),
            ..PerEntity::default()
        },
        ..MappingRules::default()
    };
    let contact = contact(identify_with(
        rules,
        &json!({
            "company": {"employees": "11-50", "name": "short", "legal": {"name": "Long Ltd"}},
            "deal": {"name": "D", "amount": 1, "closing": "2024-01-01"},
        }),
    ));
    let company = contact.company.unwrap();
    assert_eq!(company.name, "Long Ltd");
    assert_eq!(company.record.fields["number_of_employees"], json!(11));
    assert_eq!(contact.deal.unwrap().record.fields["expected_close"], json!("2024-01-01"));
}

#[test]
fn an_override_to_a_missing_field_is_a_problem() {
    for (target, policy, reason) in [
        ("cf_gone", UnknownCustomField::DeadLetter, Some(DeadLetterReason::UnknownCustomField)),
        ("cf_gone", UnknownCustomField::Ignore, None),
        ("gone", UnknownCustomField::DeadLetter, Some(DeadLetterReason::InvalidField)),
        ("gone", UnknownCustomField::Ignore, Some(DeadLetterReason::InvalidField)),
    ] {
        let rules = MappingRules {
            fields: of_contacts(overrides(&[("a", target)])),
            unknown_custom_field: policy,
            ..MappingRules::default()
        };
        let mapping = identify_with(rules.clone(), &json!({"a": 1}));
        assert_eq!(mapping.verdict.as_ref().err().map(|refusal| refusal.reason), reason, "{target}");
        if reason.is_none() {
            assert_eq!(why(&mapping, "a"), Some("no such field"));
        }
        assert!(identify_with(rules, &json!({"a": null})).verdict.is_ok());
    }
}

#[test]
fn an_unknown_custom_field_is_refused_or_ignored_and_others_are_ignored() {
    let traits = json!({"cfGone": 1, "plan": {"a": 1}, "cfo": "Eve", "fristName": "A", "nothing": null});
    let refused = identify(&traits);
    assert_eq!(why(&refused, "plan"), Some("no such field"));
    assert_eq!(why(&refused, "cfo"), Some("no such field"));
    assert_eq!(why(&refused, "nothing"), None);
    let ignored = refused.ignored.iter().find(|ignored| ignored.trait_path == "fristName").unwrap();
    let mapper = Mapper::new(MappingRules::default(), schema());
    assert_eq!(mapper.nearest(ignored).as_deref(), Some("firstName"));
    let inside = Ignored { entity: Entity::SalesAccount, trait_path: "company.webiste".into(), why: "" };
    assert_eq!(mapper.nearest(&inside).as_deref(), Some("website"));
    let refusal = refusal(refused);
    assert_eq!(refusal.reason, DeadLetterReason::UnknownCustomField);
    assert_eq!(refusal.problems[0].trait_path.as_deref(), Some("cfGone"));
    let rules = MappingRules { unknown_custom_field: UnknownCustomField::Ignore, ..MappingRules::default() };
    let ignored = identify_with(rules, &traits);
    assert_eq!(why(&ignored, "cfGone"), Some("no such field"));
    assert!(ignored.verdict.is_ok());
    let near = super::refusal(identify(&json!({"cfAlternateNumbr": 1})));
    assert!(near.problems[0].expected.as_deref().unwrap().contains("cfAlternateNumber"));
}

#[test]
fn read_only_and_linked_fields_are_ignored() {
    let mapping = identify(&json!({
        "createdAt": "2024-01-01", "salesAccounts": [1],
        "deal": {"name": "D", "amount": 1, "contacts": [1], "sales_account_id": 5},
    }));
    assert_eq!(why(&mapping, "createdAt"), Some("read-only field"));
    assert_eq!(why(&mapping, "salesAccounts"), Some("set through company"));
    assert_eq!(why(&mapping, "deal.contacts"), Some("set through the contact"));
    assert_eq!(contact(mapping).deal.unwrap().record.fields["sales_account_id"], json!(5));
}

#[test]
fn the_trait_name_of_a_field_always_sets_that_field() {
    let mut schema = schema();
    schema.contact.fields.push(plain("cf_bo_rn", "text"));
    let mapper = Mapper::new(MappingRules::default(), schema);
    let name = |field| mapper.trait_name(Entity::Contact, field);
    assert_eq!(name("cf_alternate_number").as_deref(), Some("cfAlternateNumber"));
    assert_eq!(name("cf_bo_rn").as_deref(), Some("cf_bo_rn"), "cfBoRn would reach cf_born");
    assert_eq!(name("cfAlternateNumber"), None);
}
