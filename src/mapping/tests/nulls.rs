//! Nulls: ignored, or clearing a field.

use super::*;

fn clearing() -> MappingRules {
    MappingRules { null_traits: NullTraits::Clear, ..MappingRules::default() }
}

#[test]
fn a_null_clears_its_field_where_the_rules_say_so() {
    let traits = json!({
        "city": null, "jobTitle": null, "cfNotes": null, "tags": null, "lifecycleStage": null,
        "address": {"street": null, "country": "NO"},
        "company": {"name": "E", "website": null, "cfRegion": null},
        "deal": {"name": "D", "amount": 1, "expectedClose": null},
    });
    let written = contact(identify_with(clearing(), &traits));
    let null = Some(&Value::Null);
    for name in ["city", "job_title", "tags", "lifecycle_stage_id", "address"] {
        assert_eq!(written.record.fields.get(name), null, "{name}");
    }
    assert_eq!(written.record.fields["country"], json!("NO"));
    assert_eq!(written.record.custom_field.get("cf_notes"), null);
    let company = written.company.unwrap().record;
    assert_eq!((company.fields.get("website"), company.custom_field.get("cf_region")), (null, null));
    assert_eq!(written.deal.unwrap().record.fields.get("expected_close"), null);

    let kept = contact(identify(&traits));
    let nulls =
        |record: &Record| record.fields.values().chain(record.custom_field.values()).any(Value::is_null);
    assert!(
        !nulls(&kept.record) && !nulls(&kept.company.unwrap().record) && !nulls(&kept.deal.unwrap().record)
    );
}

#[test]
fn a_null_never_clears_what_identifies_or_links_a_record() {
    let mapping = identify_with(
        clearing(),
        &json!({
            "email": "ada@example.com", "E-Mail": null, "emails": null, "externalId": null, "createdAt": null,
            "salesAccounts": null, "nothing": null, "cfNothing": null, "name": null,
            "company": {"name": "E", "Name": null}, "deal": {"name": "D", "amount": 1, "contacts": null,
            "salesAccountId": null},
        }),
    );
    assert!(mapping.ignored.is_empty(), "{:?}", mapping.ignored);
    let contact = contact(mapping);
    assert_eq!(contact.record.fields.len(), 2, "{:?}", contact.record);
    assert_eq!(contact.record.fields["external_id"], json!("u-1"));
    assert_eq!(contact.company.unwrap().record.fields, named("E"));
    let deal = contact.deal.unwrap().record.fields;
    assert_eq!((deal.len(), &deal["name"]), (2, &json!("D")));
    let absent = self::contact(identify_with(clearing(), &json!({"company": null, "deal": null})));
    assert_eq!((absent.company, absent.deal, absent.record.fields.len()), (None, None, 2));
}

fn named(name: &str) -> segment::JsonMap {
    segment::JsonMap::from_iter([("name".to_owned(), json!(name))])
}

#[test]
fn any_value_wins_over_a_null_for_the_same_field() {
    for traits in [
        json!({"job_title": null, "title": "x"}),
        json!({"title": "x", "job_title": null}),
        json!({"job_title": "x", "title": null}),
    ] {
        let mapping = identify_with(clearing(), &traits);
        assert!(mapping.ignored.is_empty(), "{:?}", mapping.ignored);
        assert_eq!(contact(mapping).record.fields["job_title"], json!("x"), "{traits}");
    }
}

#[test]
fn a_null_read_by_an_override_clears_only_the_overrides_field() {
    let rules = || MappingRules {
        fields: of_contacts(overrides(&[
            ("city", "cf_notes"),
            ("plan.name", "job_title"),
            ("address.street", "state"),
        ])),
        ..clearing()
    };
    let record = contact(identify_with(
        rules(),
        &json!({"city": "Oslo", "plan": {"name": null}, "address": {"street": "x"}}),
    ))
    .record;
    assert_eq!(record.custom_field["cf_notes"], json!("Oslo"));
    assert_eq!((record.fields.get("job_title"), &record.fields["state"]), (Some(&Value::Null), &json!("x")));
    assert_eq!((record.fields.get("city"), record.fields.get("address")), (None, None));
    let literal = contact(identify_with(rules(), &json!({"plan.name": null, "city": null}))).record;
    assert_eq!(literal.fields.get("job_title"), Some(&Value::Null));
    assert_eq!(
        (literal.custom_field.get("cf_notes"), literal.fields.get("city")),
        (Some(&Value::Null), None)
    );
}
