//! Forms that senders use: whole names, names without `_id`, spellings, tags in one text, whole floats.

use super::*;

/// The fields that the traits set, without those that every contact gets.
fn set(traits: &Value) -> Value {
    let record = contact(identify(traits)).record;
    let own = |name: &String| name != "emails" && name != "external_id";
    record.fields.into_iter().chain(record.custom_field).filter(|(name, _)| own(name)).collect()
}

#[test]
fn a_whole_name_is_the_first_and_last_name_where_neither_is_given() {
    for (traits, expected) in [
        (
            json!({"name": "Petra van der Example"}),
            json!({"first_name": "Petra", "last_name": "van der Example"}),
        ),
        (json!({"Name": "  Ada\u{a0}  Lovelace "}), json!({"first_name": "Ada", "last_name": "Lovelace"})),
        (json!({"NAME": "Ada\tL"}), json!({"first_name": "Ada", "last_name": "L"})),
        (json!({"name": "Plato"}), json!({"first_name": "Plato"})),
        (json!({"name": "A B", "firstName": "C"}), json!({"first_name": "C"})),
        (json!({"name": "A B", "last-name": "C"}), json!({"last_name": "C"})),
        (json!({"name": "A B", "lastName": ""}), json!({"last_name": ""})),
        (json!({"name": "A B", "first_name": null}), json!({"first_name": "A", "last_name": "B"})),
        (json!({"Name": "C D", "name": "A B"}), json!({"first_name": "A", "last_name": "B"})),
        (json!({"NAME": "A B", "Name": "C D"}), json!({"first_name": "A", "last_name": "B"})),
        (json!({"name": " "}), json!({})),
        (json!({"name": 7}), json!({})),
        (json!({"name": {"first": "A"}}), json!({})),
    ] {
        assert_eq!(set(&traits), expected, "{traits}");
    }
    let both = identify(&json!({"name": "A B", "firstName": "C"}));
    assert_eq!(why(&both, "name"), Some("the first or last name is given"));
    let two = identify(&json!({"Name": "C D", "name": "A B"}));
    assert_eq!(why(&two, "Name"), Some("the same trait in another spelling is used"));
    assert_eq!(why(&identify(&json!({"name": " "})), "name"), Some("empty"));
    let long = refusal(identify(&json!({"name": format!("A {}", "b".repeat(256))})));
    assert_eq!(long.reason, DeadLetterReason::InvalidField);
    assert_eq!(long.problems[0].field.as_deref(), Some("last_name"));
}

#[test]
fn a_field_or_an_override_for_name_takes_the_whole_name() {
    let mut own = schema();
    own.contact.fields.push(plain("name", "text"));
    let body = json!({"type": "identify", "userId": "a@b.co", "traits": {"name": "A B"}});
    let record = contact(map_body(&Mapper::new(MappingRules::default(), own), &body)).record;
    assert_eq!(record.fields.get("name"), Some(&json!("A B")));
    assert_eq!(record.fields.get("first_name"), None);
    for pair in [("name", "cf_notes"), ("given", "first_name")] {
        let rules = MappingRules { fields: of_contacts(overrides(&[pair])), ..MappingRules::default() };
        let record = contact(identify_with(rules, &json!({"given": "G", "name": "A B"}))).record;
        assert_eq!(record.fields.get("last_name"), None, "{pair:?}");
    }
    for (kept, sent) in [("first_name", "A B"), ("last_name", "A B")] {
        let mut one = schema();
        one.contact.fields.retain(|field| field.name == kept || !field.name.ends_with("t_name"));
        let record = contact(map_body(&Mapper::new(MappingRules::default(), one), &body)).record;
        assert_eq!(record.fields.get(kept), Some(&json!(sent)));
    }
    let none = map_body(&Mapper::new(MappingRules::default(), Schema::default()), &body);
    assert_eq!(why(&none, "name"), Some("no such field"));
}

#[test]
fn company_and_deal_are_found_in_any_spelling() {
    for key in ["company", "Company", "COMPANY", "com-pany"] {
        assert_eq!(contact(identify(&json!({key: "E"}))).company.unwrap().name, "E", "{key}");
    }
    for key in ["deal", "Deal", "DEAL", "de_al"] {
        let deal = contact(identify(&json!({key: {"name": "D", "amount": 1}}))).deal.unwrap();
        assert_eq!(deal.name, "D", "{key}");
    }
    let two = identify(&json!({"Company": "F", "company": "E", "COMPANY": "G"}));
    assert_eq!(why(&two, "Company"), Some("the same trait in another spelling is used"));
    assert_eq!(why(&two, "COMPANY"), Some("the same trait in another spelling is used"));
    assert_eq!(contact(two).company.unwrap().name, "E");
    // An override reads them in any spelling, and they are still used for the company and the deal.
    let rules = || MappingRules {
        fields: of_contacts(overrides(&[("company.plan", "cf_notes"), ("Deal.name", "cf_alternate_number")])),
        ..MappingRules::default()
    };
    let traits = json!({"Company": {"name": "E", "plan": "P"}, "Deal": {"name": "D", "amount": 1}});
    let mapping = identify_with(rules(), &traits);
    assert!(mapping.ignored.is_empty(), "{:?}", mapping.ignored);
    let contact = contact(mapping);
    assert_eq!(contact.record.custom_field["cf_notes"], json!("P"));
    assert_eq!(contact.record.custom_field["cf_alternate_number"], json!("D"));
    assert_eq!((contact.company.unwrap().name, contact.deal.unwrap().name), ("E".into(), "D".into()));
}

#[test]
fn a_drop_down_is_set_by_its_name_without_id() {
    let mut schema = schema();
    let more = [
        field("owner_id", "dropdown", &choices(&[("5", "Eve")])),
        field("campaign_id", "dropdown", &json!({})),
        field("code_id", "text", &json!({})),
        field("cf_shop_id", "radio", &choices(&[("1", "Oslo")])),
    ];
    schema.contact.fields.extend(more);
    let industry = field("industry_type_id", "dropdown", &choices(&[("7", "Technology")]));
    schema.sales_account.fields.push(industry);
    schema.deal.fields.push(field("deal_stage_id", "dropdown", &choices(&[("3", "Won")])));
    let mapper = Mapper::new(MappingRules::default(), schema);
    let map =
        |traits: Value| map_body(&mapper, &json!({"type": "identify", "userId": "a@b.co", "traits": traits}));
    for (key, value, name, expected) in [
        ("lifecycleStage", json!("lead"), "lifecycle_stage_id", json!(11)),
        ("lifecycle_stage", json!("Lead"), "lifecycle_stage_id", json!(11)),
        ("owner", json!("eve"), "owner_id", json!(5)),
        ("Owner", json!(5), "owner_id", json!(5)),
    ] {
        assert_eq!(contact(map(json!({key: value}))).record.fields[name], expected, "{key}");
    }
    assert_eq!(contact(map(json!({"cfShop": "oslo"}))).record.custom_field["cf_shop_id"], json!("Oslo"));
    let ranked = map(json!({"owner": "nobody", "ownerId": 5}));
    assert_eq!(why(&ranked, "owner"), Some("another trait sets this field"));
    for key in ["campaign", "code", "ownerid_", "territory"] {
        let ignored = map(json!({key: "x"}));
        assert_eq!(why(&ignored, key).is_some(), key != "ownerid_", "{key}");
    }
    let whole = contact(map(json!({
        "company": {"name": "E", "industry": "technology", "employees": "11-50"},
        "deal": {"name": "D", "amount": 1, "dealStage": "won"},
    })));
    let company = whole.company.unwrap().record.fields;
    assert_eq!((&company["industry_type_id"], &company["number_of_employees"]), (&json!(7), &json!(11)));
    assert_eq!(whole.deal.unwrap().record.fields["deal_stage_id"], json!(3));
    for key in ["employees", "employee_count", "Employees", "numberOfEmployees"] {
        let counted = contact(map(json!({"company": {"name": "E", key: 11}})));
        assert_eq!(counted.company.unwrap().record.fields["number_of_employees"], json!(11), "{key}");
    }
    // For a contact they are no aliases.
    assert_eq!(why(&map(json!({"industry": "technology"})), "industry"), Some("no such field"));
}

#[test]
fn tags_in_one_string_are_split_and_cleaned() {
    for (tags, expected) in [
        (json!("vip, beta ,,vip"), json!({"tags": ["vip", "beta"]})),
        (json!("vip"), json!({"tags": ["vip"]})),
        (json!(" , "), json!({})),
        (json!(["a", "", "b, c", "a", null, 1, "1", 2.0]), json!({"tags": ["a", "b, c", "1", "2"]})),
    ] {
        assert_eq!(set(&json!({"tags": tags})), expected, "{tags}");
    }
    assert!(identify_with(strict(), &json!({"tags": "a,b"})).verdict.is_err());
}

#[test]
fn whole_floats_are_written_as_integers_in_text_fields() {
    for (number, text) in [
        ("14155552671.0", "14155552671"),
        ("1e3", "1000"),
        ("1.5E2", "150"),
        ("-2.00", "-2"),
        ("-0.0", "0"),
        ("1.50", "1.50"),
        ("0.1e-2", "0.1e-2"),
        ("90071992547409931234.0", "90071992547409931234"),
    ] {
        let body = format!(
            r#"{{"type":"identify","userId":"a@b.co","traits":{{"phone":{number},"company":{number}}}}}"#
        );
        let event = segment::decode(&body.into()).unwrap();
        let mapping = map_event(&Mapper::new(MappingRules::default(), schema()), &event);
        match mapping.verdict {
            Ok(Mapped::Contact(contact)) => {
                assert_eq!(contact.record.fields["work_number"], json!(text), "{number}");
                assert_eq!(contact.company.unwrap().name, text, "{number}");
            }
            // No company is called zero.
            verdict => assert!(verdict.is_err() && text == "0", "{number}"),
        }
    }
}
