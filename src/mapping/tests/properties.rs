//! Properties that hold for any traits.

use proptest::prelude::*;

use super::*;
use crate::segment::Payload;

fn any_json() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,4})?(e[0-9]{1,3})?";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        prop::sample::select(vec![
            "",
            " ",
            "Basic",
            "11",
            "2;3",
            ";",
            "true",
            "2024-02-29",
            "ada@example.com",
            "a;b"
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_name(), inner), 0..4)
                .prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    let mut known: Vec<String> = schema().contact.fields.into_iter().map(|field| field.name).collect();
    known.extend(
        [
            "email", "E-Mail", "company", "Company", "deal", "address", "title", "phone", "name", "amount",
            "street", "plan", "cfGone",
        ]
        .map(str::to_owned),
    );
    prop_oneof![3 => prop::sample::select(known), 1 => ".{0,10}"]
}

fn any_traits() -> impl Strategy<Value = Value> {
    prop::collection::vec((any_name(), any_json()), 0..12).prop_map(|entries| entries.into_iter().collect())
}

fn rules() -> impl Strategy<Value = MappingRules> {
    any_rules(|| prop_oneof![any_name(), "[a-z]{1,4}\\.name"], any_name)
}

/// One field's value after mapping.
fn mapped(name: &str, value: &Value) -> Option<Value> {
    let Ok(Mapped::Contact(contact)) = identify(&json!({name: value})).verdict else { return None };
    contact.record.fields.get(name).or_else(|| contact.record.custom_field.get(name)).cloned()
}

proptest! {
    #[test]
    fn no_traits_make_mapping_panic(traits in any_traits(), rules in rules()) {
        let body = json!({"type": "identify", "userId": "u-1", "traits": traits});
        let mapping = map_body(&Mapper::new(rules, schema()), &body);
        if let Err(refusal) = mapping.verdict {
            prop_assert!(!refusal.problems.is_empty());
            prop_assert!(refusal.problems.iter().all(|problem| !problem.problem.is_empty()));
        }
    }

    #[test]
    fn every_trait_is_written_refused_or_ignored(name in any_name(), value in any_json()) {
        prop_assume!(!value.is_null() && !matches!(name.as_str(), "email" | "E-Mail" | "Company" | "company" | "deal" | "address" | "name"));
        let mapping = identify(&json!({name.as_str(): value}));
        let ignored = mapping.ignored.len();
        match mapping.verdict {
            Err(refusal) => prop_assert_eq!((refusal.problems.len(), ignored), (1, 0)),
            Ok(Mapped::Contact(contact)) => {
                let written = contact.record.fields.len() + contact.record.custom_field.len() - 2;
                let list = usize::from(contact.record.fields["emails"].is_array());
                prop_assert_eq!(written + list + ignored, 1);
            }
            Ok(Mapped::Track(_) | Mapped::Page(_)) => prop_assert!(false, "not a contact"),
        }
    }

    #[test]
    fn a_number_stays_exact_as_text_and_back(digits in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?") {
        let number: Value = serde_json::from_str(&digits).unwrap();
        prop_assert_eq!(number.to_string(), digits.as_str(), "as JSON writes it");
        let plain = match digits.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
            _ => &digits,
        };
        let plain = if plain == "-0" { "0" } else { plain };
        prop_assert_eq!(mapped("cf_alternate_number", &number), Some(json!(plain)));
        prop_assert_eq!(mapped("cf_score", &json!(digits)).map(|value| value.to_string()), Some(digits));
    }

    /// Nothing is lost of the context's traits, and nothing of the others.
    #[test]
    fn the_contexts_traits_fill_in_for_missing_ones(
        own in prop::collection::btree_map("[a-c]_?[A-Ca-c]?", any_json(), 0..5),
        further in prop::collection::btree_map("[a-c]_?[A-Ca-c]?", any_json(), 0..5),
    ) {
        let body = json!({"type": "identify", "userId": "u", "traits": own, "context": {"traits": further}});
        let Payload::Identify { traits } = segment::decode(&body.to_string().into()).unwrap().payload else {
            return Err(TestCaseError::fail("no identify"));
        };
        let hidden: Vec<String> = own.keys().map(|key| segment::fold(key)).collect();
        let mut expected = own.clone();
        expected.extend(further.into_iter().filter(|(key, _)| !hidden.contains(&segment::fold(key))));
        let read = traits.read();
        let read = read.iter().map(|(key, value)| (key.to_owned(), value.to_value()));
        prop_assert_eq!(read.collect::<std::collections::BTreeMap<_, _>>(), expected);
    }

    #[test]
    fn a_day_is_kept_in_any_offset(
        (year, month, day) in (1000..9999i16, 1..=12i8, 1..=28i8), hour in 0..24, offset in -12..=14i32,
    ) {
        let written = format!("{year:04}-{month:02}-{day:02}");
        let sign = if offset < 0 { '-' } else { '+' };
        let time = format!("{written}T{hour:02}:30:00{sign}{:02}:00", offset.abs());
        prop_assert_eq!(mapped("cf_born", &json!(time)), Some(json!(written)));
    }

    #[test]
    fn what_was_mapped_maps_to_itself(
        name in prop::sample::select(vec!["first_name", "cf_notes", "cf_score", "cf_active", "cf_born", "cf_meeting",
            "cf_plan", "cf_size", "subscription_types", "cf_hobbies", "tags", "owner_ref", "phone_numbers", "strange",
            "territory_id", "cf_free_choice", "emails"]),
        value in any_json(),
    ) {
        // A null trait leaves `emails` the plain string that identifies.
        prop_assume!(!value.is_null());
        if let Some(once) = mapped(name, &value) {
            prop_assert_eq!(mapped(name, &once), Some(once));
        }
    }
}
