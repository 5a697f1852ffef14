//! Fields and choices, read from metadata of every form that accounts send.

use serde_json::json;

use super::*;

fn fields(list: &serde_json::Value) -> Fields {
    serde_json::from_value(json!({"fields": list, "meta": {"ignored": true}})).unwrap()
}

#[test]
fn choice_ids_are_numbers_wherever_their_digits_are() {
    let fields = fields(&json!([{"name": "cf_a", "type": "dropdown", "default": false, "choices": [
        {"id": 31_000_543_557_u64, "value": "New"}, {"id": "32", "value": 5}, {"id": "Quito", "value": "Q"},
        {"id": "007", "value": null},
    ]}]));
    let field = fields.get("cf_a").unwrap();
    let ids: Vec<_> = field.choices.iter().map(|choice| choice.id.clone()).collect();
    let text = |id: &str| ChoiceId::Text(id.into());
    assert_eq!(ids, [ChoiceId::Number(31_000_543_557), ChoiceId::Number(32), text("Quito"), text("007")]);
    let labels: Vec<_> = field.choices.iter().map(|choice| choice.value.as_str()).collect();
    assert_eq!(labels, ["New", "5", "Q", ""]);
    assert!(field.custom());
}

#[test]
fn a_malformed_field_is_left_out_and_named_and_the_others_work() {
    let good = json!({"name": "city", "type": "text"});
    for (odd, name, why) in [
        (json!({"name": "cf_a", "type": 7}), "cf_a", "type"),
        (json!({"name": "cf_a"}), "cf_a", "lacks"),
        (json!({"name": "cf_a", "type": null}), "cf_a", "type"),
        (json!({"type": "text"}), "number 1", "lacks"),
        (json!({"name": "", "type": "text"}), "number 1", "no name"),
        (json!({"name": 5, "type": "text"}), "number 1", "name"),
        (json!({"name": ["cf_a"], "type": "text"}), "number 1", "name"),
        (json!({"name": "cf_a", "type": "dropdown", "choices": {"1": "New"}}), "cf_a", "choices"),
        (json!({"name": "cf_a", "type": "dropdown", "choices": "New"}), "cf_a", "choices"),
        (json!({"name": "cf_a", "type": "dropdown", "choices": [["New"]]}), "cf_a", "choices[0]"),
        (
            json!({"name": "cf_a", "type": "dropdown", "choices": [{"id": 1, "value": "a"}, {"value": "New"}]}),
            "cf_a",
            "choices[1]",
        ),
        (
            json!({"name": "cf_a", "type": "dropdown", "choices": [{"id": null, "value": "New"}]}),
            "cf_a",
            "choices[0].id",
        ),
        (
            json!({"name": "cf_a", "type": "dropdown", "choices": [{"id": {"id": 1}, "value": "New"}]}),
            "cf_a",
            "choices[0].id",
        ),
        (
            json!({"name": "cf_a", "type": "dropdown", "choices": [{"id": 1, "value": ["New"]}]}),
            "cf_a",
            "choices[0].value",
        ),
        (json!({"name": "cf_a", "type": "text", "required": "yes"}), "cf_a", "required"),
        (json!({"name": "cf_a", "type": "text", "default": 1}), "cf_a", "default"),
        (json!({"name": "cf_a", "type": "text", "label": {"en": "New"}}), "cf_a", "label"),
        (json!([{"name": "cf_a", "type": "text"}]), "number 1", "is"),
        (json!(["label", "cf_a", "text"]), "number 1", "is"),
        (json!(null), "number 1", "object"),
        (json!("cf_a"), "number 1", "object"),
    ] {
        let (fields, left_out) = Fields::read(&json!({"fields": [odd, good]})).unwrap();
        assert!(fields.get("city").is_some() && fields.fields.len() == 1, "{odd}");
        let [LeftOut { name: told, why: because }] = &left_out[..] else { panic!("{odd}: {left_out:?}") };
        assert_eq!(told, name, "{odd}");
        assert!(because.contains(why) && !because.contains("New"), "{odd}: {because}");
    }
}

#[test]
fn of_two_fields_with_one_name_the_first_is_used() {
    let twice = json!([{"name": "city", "type": "text"}, {"name": "city", "type": "number"}]);
    let (fields, left_out) = Fields::read(&json!({"fields": twice})).unwrap();
    assert_eq!(fields.get("city").unwrap().kind, FieldType::Text);
    assert_eq!(left_out.len(), 1);
    assert_eq!(Fields::read(&json!({"fields": {"city": {}}})), None);
}

#[test]
fn what_may_be_absent_may_be_null() {
    let nulls = json!({"name": "a", "type": "text", "label": null, "default": null, "actionable": null,
        "required": null, "choices": null, "multiple": null, "auto_suggest_url": null});
    let (fields, left_out) =
        Fields::read(&json!({"fields": [nulls, {"name": "b", "type": "text"}]})).unwrap();
    assert_eq!(left_out, []);
    assert_eq!(fields.fields[0], Field { name: "a".to_owned(), ..fields.fields[1].clone() });
}

#[test]
fn whatever_stands_among_the_fields_the_good_ones_are_read() {
    let odd = crate::fuzz::any_json(&["name", "type", "choices", "id", "value", "label"]);
    crate::fuzz::feed("fields", &(proptest::collection::vec(odd, 0..6), 0usize..6), |(mut listed, place)| {
        let place = place.min(listed.len());
        listed.insert(place, json!({"name": "the good one", "type": "text"}));
        let (fields, left_out) = Fields::read(&json!({"fields": listed})).unwrap();
        proptest::prop_assert!(fields.get("the good one").is_some());
        proptest::prop_assert_eq!(fields.fields.len() + left_out.len(), listed.len());
        Ok(())
    });
}

#[test]
fn every_type_is_read_from_the_word_it_has() {
    for word in FIELD_TYPES {
        let fields = fields(&json!([{"name": "a", "type": word, "choices": null}]));
        let kind = &fields.get("a").unwrap().kind;
        assert_eq!(kind.as_str(), *word);
        assert_eq!(matches!(kind, FieldType::Other(_)), *word == "hologram");
    }
}

#[test]
fn what_freshsales_sets_itself_is_read_only() {
    let fields = fields(&json!([
        {"name": "created_at", "type": "date"}, {"name": "city", "type": "text"},
        {"name": "score", "type": "number", "actionable": false},
        {"name": "age", "type": "number", "default": false},
    ]));
    let read_only: Vec<_> = fields.fields.iter().filter(|f| f.read_only()).map(|f| f.name.as_str()).collect();
    assert_eq!(read_only, ["created_at", "score"]);
    assert!(!fields.fields[3].read_only(), "a custom field may have a system field's name");
}
