//! Any traits against any fields: written fields exist, and problems are bounded and repeat no value.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fuzz::{MARK, any_json, any_text, feed, marked};
use crate::schema::FIELD_TYPES;

/// Names of traits and of fields. A problem may repeat a value that is one of them, as a name.
const NAMES: &[&str] = &[
    "email",
    "emails",
    "company",
    "deal",
    "address",
    "title",
    "phone",
    "name",
    "amount",
    "street",
    "first_name",
    "firstName",
    "FIRST_NAME",
    "cf_plan",
    "cfPlan",
    "cf_",
    "cfGone",
    "cf_score",
    "sales_accounts",
    "contacts",
    "sales_account_id",
    "external_id",
    "owner_id",
    "created_at",
    "tags",
    "city",
    "postalCode",
    "a.b",
    "plan.name",
    "",
];

fn any_field() -> impl Strategy<Value = Field> {
    let choice =
        (prop_oneof![any::<i32>().prop_map(Value::from), any_text().prop_map(Value::from)], any_text())
            .prop_map(|(id, value)| json!({"id": id, "value": value}));
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), any::<bool>());
    let name = prop_oneof![9 => select(NAMES).prop_map(str::to_owned), 1 => any_text()];
    (name, select(FIELD_TYPES), prop::collection::vec(choice, 0..4), flags).prop_map(|(name, kind, choices, flags)| {
        let (default, actionable, required, multiple) = flags;
        field(
            &name,
            kind,
            &json!({"choices": choices, "default": default, "actionable": actionable, "required": required,
                "multiple": multiple}),
        )
    })
}

fn any_schema() -> impl Strategy<Value = Schema> {
    let fields = || prop::collection::vec(any_field(), 0..10).prop_map(|fields| Fields { fields });
    prop_oneof![
        2 => (fields(), fields(), fields())
            .prop_map(|(contact, sales_account, deal)| Schema { contact, sales_account, deal }),
        1 => Just(schema()),
    ]
}

fn rules() -> impl Strategy<Value = MappingRules> {
    let name = || prop_oneof![select(NAMES).prop_map(str::to_owned), any_text()];
    any_rules(name, name)
}

/// Written fields exist and are writable, or they identify or link the record.
fn is_known(record: &Record, fields: &Fields) -> Result<(), TestCaseError> {
    let own = ["emails", "external_id", "name"];
    for name in record.fields.keys().filter(|name| !own.contains(&name.as_str())) {
        let of_name = |field: &&Field| field.name == *name && !field.custom() && !field.read_only();
        prop_assert!(fields.fields.iter().any(|field| of_name(&field)), "{name}");
    }
    for name in record.custom_field.keys() {
        let of_name = |field: &&Field| field.name == *name && field.custom() && !field.read_only();
        prop_assert!(fields.fields.iter().any(|field| of_name(&field)), "{name}");
    }
    Ok(())
}

#[test]
fn any_traits_against_any_fields_are_mapped_or_refused_without_repeating_a_value() {
    let traits = prop::collection::vec((select(NAMES), any_json(NAMES)), 0..8);
    let inputs = (any_schema(), rules(), traits, any::<bool>());
    feed("traits and fields", &inputs, |(schema, rules, traits, with_email)| {
        let mut traits: serde_json::Map<String, Value> =
            traits.into_iter().map(|(name, value)| (name.to_owned(), marked(value))).collect();
        if with_email {
            traits.insert("email".to_owned(), json!("Ada@example.com"));
        }
        let body = json!({"type": "identify", "userId": format!("u-{MARK}"), "traits": traits});
        let mapper = Mapper::new(rules, schema.clone());
        let mapping = map_body(&mapper, &body);
        prop_assert_eq!(&map_body(&mapper, &body).verdict, &mapping.verdict);
        match mapping.verdict {
            Err(refusal) => {
                prop_assert!(!refusal.problems.is_empty());
                for problem in &refusal.problems {
                    let reported = serde_json::to_string(problem).unwrap();
                    prop_assert!(!problem.problem.is_empty() && !reported.contains(MARK), "{reported}");
                    let path = problem.trait_path.as_deref().unwrap_or_default();
                    prop_assert!(path.chars().count() <= 121, "{path}");
                }
            }
            Ok(Mapped::Contact(contact)) => {
                prop_assert!(contact.email.is_none_or(|email| email.contains('@')));
                is_known(&contact.record, &schema.contact)?;
                if let Some(company) = &contact.company {
                    prop_assert!(!company.name.trim().is_empty());
                    is_known(&company.record, &schema.sales_account)?;
                }
                if let Some(deal) = &contact.deal {
                    prop_assert!(!deal.name.trim().is_empty());
                    is_known(&deal.record, &schema.deal)?;
                }
            }
            Ok(Mapped::Track(_) | Mapped::Page(_)) => prop_assert!(false, "not a contact"),
        }
        Ok(())
    });
}

#[test]
fn any_properties_of_an_activity_are_sent_or_reported_as_ignored() {
    let entries = || prop::collection::vec((select(NAMES), any_json(NAMES)), 0..8);
    feed(
        "activities",
        &(entries(), entries(), any::<bool>(), any_text()),
        |(properties, traits, page, name)| {
            let object = |entries: Vec<(&str, Value)>| -> Value {
                entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            };
            let (kind, key) = if page { ("page", "name") } else { ("track", "event") };
            let mut body = json!({"type": kind, "userId": "u-1", "properties": object(properties),
            "context": {"traits": object(traits), "page": {"url": "https://example.com/"}}});
            body[key] = json!(name.clone() + "x");
            match map_body(&Mapper::new(MappingRules::default(), schema()), &body).verdict {
                Ok(Mapped::Track(activity)) => {
                    prop_assert_eq!((page, activity.name), (false, name + "x"));
                }
                Ok(Mapped::Page(view)) => prop_assert!(page && !view.url.is_empty()),
                Ok(Mapped::Contact(_)) => prop_assert!(false, "not an activity"),
                Err(refusal) => prop_assert!(!refusal.problems.is_empty()),
            }
            Ok(())
        },
    );
}
