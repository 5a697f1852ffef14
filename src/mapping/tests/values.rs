//! The values that each field type takes and refuses, with lossless and with strict coercion.

use super::*;

/// The value that the trait's field gets, `None` if the trait is ignored as empty, or the problem.
fn given(rules: MappingRules, name: &str, value: &Value) -> Result<Option<Value>, String> {
    let mapping = identify_with(rules, &json!({name: value}));
    let empty = why(&mapping, name) == Some("empty");
    match mapping.verdict {
        Ok(Mapped::Contact(contact)) => {
            let mut record = contact.record;
            let value = record.custom_field.remove(name).or_else(|| record.fields.remove(name));
            assert_eq!(value.is_none(), empty, "{name}");
            Ok(value)
        }
        Err(refusal) => {
            let custom = name.starts_with("cf_");
            let reason =
                if custom { DeadLetterReason::InvalidCustomField } else { DeadLetterReason::InvalidField };
            assert_eq!(refusal.reason, reason, "{name}");
            Err(refusal.problems[0].problem.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn table(rules: &MappingRules, name: &str, sent: &[(Value, Value)], refused: &[Value]) {
    for (value, expected) in sent {
        assert_eq!(given(rules.clone(), name, value), Ok(Some(expected.clone())), "{name}: {value}");
    }
    for value in refused {
        assert!(given(rules.clone(), name, value).is_err(), "{name}: {value} should be refused");
    }
}

fn lossless(name: &str, sent: &[(Value, Value)], refused: &[Value]) {
    table(&MappingRules::default(), name, sent, refused);
}

fn strictly(name: &str, taken: &[Value], refused: &[Value]) {
    let sent: Vec<_> = taken.iter().map(|value| (value.clone(), value.clone())).collect();
    table(&strict(), name, &sent, refused);
}

fn exact(number: &str) -> Value {
    serde_json::from_str(number).unwrap()
}

#[test]
fn text() {
    let longest = "é".repeat(255);
    for name in ["first_name", "cf_alternate_number"] {
        lossless(
            name,
            &[
                (json!(""), json!("")),
                (json!(" a "), json!(" a ")),
                (json!(longest), json!(longest)),
                (json!(42), json!("42")),
                (exact("9007199254740993"), json!("9007199254740993")),
                (exact("1.10"), json!("1.10")),
                (json!(true), json!("true")),
                (json!(false), json!("false")),
            ],
            &[json!(format!("{longest}a")), json!(["a"]), json!({"a": 1})],
        );
        strictly(name, &[json!("a"), json!("")], &[json!(42), json!(true), json!(format!("{longest}a"))]);
    }
    let long = json!("x".repeat(5_000));
    lossless(
        "cf_notes",
        &[(long.clone(), long), (json!(""), json!("")), (json!(1), json!("1"))],
        &[json!({})],
    );
}

#[test]
fn empty_values_are_sent_to_text_fields_only() {
    let types = [
        "total_sessions",
        "cf_active",
        "cf_born",
        "cf_meeting",
        "cf_plan",
        "cf_size",
        "lifecycle_stage_id",
        "territory_id",
        "cf_free_choice",
        "subscription_types",
        "cf_hobbies",
        "tags",
        "owner_ref",
        "phone_numbers",
        "strange",
    ];
    for rules in [MappingRules::default(), strict()] {
        for name in types {
            assert_eq!(given(rules.clone(), name, &json!("")), Ok(None), "{name}");
            assert_eq!(given(rules.clone(), name, &json!([])), Ok(None), "{name}");
        }
    }
}

#[test]
fn number() {
    for name in ["total_sessions", "cf_score"] {
        lossless(
            name,
            &[
                (json!(1.5), json!(1.5)),
                (json!("42"), json!(42)),
                (json!(" -0.50 "), exact("-0.50")),
                (json!("9007199254740993"), exact("9007199254740993")),
                (json!("1e3"), exact("1e3")),
            ],
            &[
                json!("007"),
                json!("+1"),
                json!("1,000"),
                json!("1."),
                json!(".5"),
                json!("0x1"),
                json!("NaN"),
                json!("1 2"),
                json!(true),
                json!([1]),
                json!({}),
                json!("١"),
            ],
        );
        strictly(name, &[json!(1), json!(-2.5)], &[json!("42")]);
    }
}

#[test]
fn checkbox() {
    lossless(
        "cf_active",
        &[(json!(true), json!(true)), (json!("TRUE"), json!(true)), (json!(" False "), json!(false))],
        &[json!(1), json!(0), json!("1"), json!("yes"), json!([true])],
    );
    strictly("cf_active", &[json!(true), json!(false)], &[json!("true"), json!(1)]);
}

#[test]
fn dates() {
    for name in ["last_seen_chat", "cf_born"] {
        lossless(
            name,
            &[
                (json!("2024-02-29"), json!("2024-02-29")),
                (json!("2024-02-29T23:30:00-11:00"), json!("2024-02-29")),
            ],
            &[json!("2023-02-29"), json!("29.2.2024"), json!(1_709_164_800), json!(true), json!({})],
        );
        strictly(name, &[json!("2024-02-29")], &[json!("2024-02-29T10:00:00Z")]);
    }
    let time = json!("2024-02-29T10:00:00+05:30");
    lossless(
        "cf_meeting",
        &[(time.clone(), time.clone()), (json!("2024-02-29"), json!("2024-02-29"))],
        &[json!("10:00"), json!(1), json!([time])],
    );
    strictly("cf_meeting", &[time], &[json!("soon")]);
}

#[test]
fn a_default_drop_down_sends_the_choices_id() {
    lossless(
        "lifecycle_stage_id",
        &[
            (json!(11), json!(11)),
            (json!("Lead"), json!(11)),
            (json!(" lead "), json!(11)),
            (json!("11"), json!(11)),
            (json!("Customer"), json!(12)),
            (json!("customer"), json!(13)),
            // An integer is an id first, a string a label first.
            (json!(12), json!(12)),
            (json!("12"), json!(14)),
        ],
        &[json!("CUSTOMER"), json!("None"), json!(99), json!(11.5), json!(true), json!(["Lead"]), json!({})],
    );
    let ambiguous = given(MappingRules::default(), "lifecycle_stage_id", &json!("CUSTOMER")).unwrap_err();
    assert!(ambiguous.contains("several"), "{ambiguous}");
    lossless(
        "time_zone",
        &[(json!("(GMT) Lisbon"), json!("Lisbon")), (json!("Lisbon"), json!("Lisbon"))],
        &[json!("GMT")],
    );
    table(
        &strict(),
        "lifecycle_stage_id",
        &[(json!(11), json!(11)), (json!("Lead"), json!(11))],
        &[json!("lead"), json!(" Lead"), json!("11")],
    );
    table(&strict(), "time_zone", &[(json!("Lisbon"), json!("Lisbon"))], &[json!("lisbon")]);
}

#[test]
fn a_custom_drop_down_or_radio_sends_the_label() {
    lossless(
        "cf_plan",
        &[
            (json!("Basic"), json!("Basic")),
            (json!("BASIC"), json!("Basic")),
            (json!(902), json!("Plus")),
            (json!("902"), json!("Plus")),
            (json!("basic plus"), json!("basic plus")),
            (json!("Basic Plus"), json!("Basic Plus")),
            (json!(7), json!("7")),
        ],
        &[json!("BASIC PLUS"), json!("Gold"), json!(1), json!(false)],
    );
    table(
        &strict(),
        "cf_plan",
        &[(json!("Basic"), json!("Basic")), (json!(902), json!("Plus"))],
        &[json!("basic"), json!("902"), json!(7)],
    );
    lossless("cf_size", &[(json!("s"), json!("S")), (json!(2), json!("M"))], &[json!("L")]);
}

/// An account with these choices for a default, a custom and a multi-select field.
fn sized(rules: MappingRules, sizes: &[(&str, &str)]) -> Mapper {
    let sizes = choices(sizes);
    let fields = vec![
        field("size_id", "dropdown", &sizes),
        field("cf_size", "radio", &sizes),
        field("cf_sizes", "multi_select_dropdown", &sizes),
    ];
    Mapper::new(rules, Schema { contact: Fields { fields }, ..Schema::default() })
}

/// The values sent to those three fields.
fn sent_sizes(mapper: &Mapper, value: &Value) -> [Option<Value>; 3] {
    ["size_id", "cf_size", "cf_sizes"].map(|name| {
        let body = json!({"type": "identify", "userId": "a@b.co", "traits": {name: value}});
        let record = match map_body(mapper, &body).verdict {
            Ok(Mapped::Contact(contact)) => contact.record,
            Ok(other) => panic!("expected a contact, got {other:?}"),
            Err(_) => return None,
        };
        record.fields.get(name).or_else(|| record.custom_field.get(name)).cloned()
    })
}

#[test]
fn a_drop_down_of_ranges_takes_a_count_and_a_multi_select_does_not() {
    let sizes = [("1", "1-10"), ("11", "11-50"), ("51", "51+")];
    let lossless = sized(MappingRules::default(), &sizes);
    let second = [Some(json!(11)), Some(json!("11-50")), None];
    for count in [json!(12), json!(50), json!("12"), json!(" 12 "), json!(12.0), json!("12.0"), json!(1.2e1)]
    {
        assert_eq!(sent_sizes(&lossless, &count), second, "{count}");
    }
    for start in [json!(11), json!("11"), json!("11-50")] {
        let both = [Some(json!(11)), Some(json!("11-50")), Some(json!("11-50"))];
        assert_eq!(sent_sizes(&lossless, &start), both, "{start}");
    }
    assert_eq!(sent_sizes(&lossless, &json!(1_000_000)), [Some(json!(51)), Some(json!("51+")), None]);
    for none in
        [json!(0), json!(-12), json!(12.5), json!("012"), json!("1,2"), json!(1e30), json!(true), json!([12])]
    {
        let [default, custom, _] = sent_sizes(&lossless, &none);
        assert_eq!((default, custom), (None, None), "{none}");
    }
    let strict = sized(strict(), &sizes);
    assert_eq!(sent_sizes(&strict, &json!(12)), second);
    assert_eq!(sent_sizes(&strict, &json!("12")), [None, None, None]);
    // A gap is in no range.
    let gap = sized(MappingRules::default(), &[("1", "1-10"), ("51", "51-200")]);
    assert_eq!(sent_sizes(&gap, &json!(12)), [None, None, None]);
}

#[test]
fn a_number_in_a_range_with_an_end_is_a_count_even_if_it_is_the_id_of_another() {
    let small = sized(MappingRules::default(), &[("5", "11-50"), ("6", "1-10"), ("900", "51+")]);
    for (value, id, label) in [
        (json!(5), 6, "1-10"),
        (json!("5"), 6, "1-10"),
        (json!(12), 5, "11-50"),
        (json!("11-50"), 5, "11-50"),
        (json!(899), 900, "51+"),
    ] {
        let [default, custom, _] = sent_sizes(&small, &value);
        assert_eq!((default, custom), (Some(json!(id)), Some(json!(label))), "{value}");
    }
    // A range without an end contains all large numbers, and ids are large.
    let large = sized(
        MappingRules::default(),
        &[("402000000001", "1-10"), ("402000000002", "11-50"), ("402000000003", "51+")],
    );
    for (value, id) in [
        (json!(402_000_000_001_u64), 402_000_000_001_u64),
        (json!("402000000002"), 402_000_000_002),
        (json!(402_000_000_009_u64), 402_000_000_003),
        (json!(7), 402_000_000_001),
    ] {
        assert_eq!(sent_sizes(&large, &value)[0], Some(json!(id)), "{value}");
    }
}

#[test]
fn without_listed_choices_any_value_of_the_right_form_is_sent() {
    lossless(
        "territory_id",
        &[(json!(5), json!(5)), (json!("402000049629"), exact("402000049629"))],
        &[json!("North"), json!(1.5), json!(-1), json!("007")],
    );
    table(&strict(), "territory_id", &[(json!(5), json!(5))], &[json!("5")]);
    lossless(
        "cf_free_choice",
        &[(json!("Any"), json!("Any")), (json!(5), json!("5"))],
        &[json!(true), json!(["a"])],
    );
    table(&strict(), "cf_free_choice", &[(json!("Any"), json!("Any"))], &[json!(5)]);
}

#[test]
fn multi_selects_are_joined() {
    lossless(
        "subscription_types",
        &[
            (json!(["News", "offers"]), json!("2;3")),
            (json!("News; Offers;"), json!("2;3")),
            (json!("2;3"), json!("2;3")),
            (json!([2, "2", null, ""]), json!("2")),
            (json!(3), json!("3")),
            (json!("x;y"), json!("4")),
            (json!(["x;y"]), json!("4")),
        ],
        &[json!(["News", "Old"]), json!("News;Old"), json!([true]), json!({}), json!(true)],
    );
    lossless(
        "cf_hobbies",
        &[(json!([21, "go"]), json!("Chess;Go")), (json!("Go;Chess;go"), json!("Go;Chess"))],
        &[json!(["Rock; Roll"]), json!("Rock; Roll"), json!("Chess;Golf")],
    );
    let split = given(MappingRules::default(), "cf_hobbies", &json!("Rock; Roll")).unwrap_err();
    assert!(split.contains("';'"), "{split}");
    table(
        &strict(),
        "cf_hobbies",
        &[
            (json!(["Chess", "Go"]), json!("Chess;Go")),
            (json!("Chess;Go"), json!("Chess;Go")),
            (json!([21]), json!("Chess")),
        ],
        &[json!(["chess"]), json!("Chess; Go"), json!(21), json!("21")],
    );
    assert_eq!(given(MappingRules::default(), "cf_hobbies", &json!(" ; ")), Ok(None));
}

#[test]
fn lists_references_and_groups() {
    lossless(
        "tags",
        &[(json!(["a", 1, true, null]), json!(["a", "1", "true"])), (json!("a"), json!(["a"]))],
        &[json!([["a"]]), json!({})],
    );
    lossless("lists", &[(json!([7, "8", 7]), json!([7, "8"]))], &[json!([["a"]])]);
    strictly("tags", &[json!(["a"])], &[json!("a")]);
    lossless(
        "owner_ref",
        &[(json!(5), json!(5)), (json!("5"), json!("5")), (json!("Ann"), json!("Ann"))],
        &[json!(1.5), json!(true), json!([5]), json!({})],
    );
    let object = json!({"value": "+1", "label": "Home"});
    lossless(
        "phone_numbers",
        &[
            (json!([object, "+2"]), json!([object, {"value": "+2"}])),
            (object.clone(), json!([object])),
            (json!("+3"), json!([{"value": "+3"}])),
        ],
        &[json!(5), json!([5]), json!([["+1"]])],
    );
    table(&strict(), "phone_numbers", &[(json!(["+2"]), json!([{"value": "+2"}]))], &[json!("+2"), object]);
}

#[test]
fn an_unknown_type_takes_any_scalar() {
    let values = [json!("x"), json!(1.50), json!(false)];
    let same: Vec<_> = values.iter().map(|value| (value.clone(), value.clone())).collect();
    lossless("strange", &same, &[json!(["x"]), json!({"a": 1})]);
}

#[test]
fn a_problem_lists_only_the_first_of_many_choices() {
    let many: Vec<(String, String)> = (0..14).map(|n| (n.to_string(), format!("L{n}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(id, label)| (id.as_str(), label.as_str())).collect();
    let schema = Schema {
        contact: Fields { fields: vec![field("cf_many", "dropdown", &choices(&many))] },
        ..Schema::default()
    };
    let body = json!({"type": "identify", "userId": "a@b.co", "traits": {"cfMany": "none"}});
    let refusal = refusal(map_body(&Mapper::new(MappingRules::default(), schema), &body));
    assert_eq!(
        refusal.problems[0].expected.as_deref(),
        Some("one of: L0, L1, L2, L3, L4, L5, L6, L7, L8, L9 and 4 more")
    );
}
