//! Freshsales' field metadata as data: entities and their fields, as `/api/settings/{entity}/fields` describes them,
//! and what the account's selectors add. Lanes read it, mapping uses it, the sandbox serves it. It knows no other
//! room.

mod field;
mod selectors;

pub use field::{Choice, ChoiceId, Field, FieldType};
pub use selectors::{Owners, Parents, Selector, Selectors, Stages};

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use strum::VariantArray;

/// A kind of record with a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, VariantArray)]
pub enum Entity {
    /// A person.
    Contact,
    /// A company.
    SalesAccount,
    /// An opportunity.
    Deal,
}

impl Entity {
    /// Every entity Freshet writes.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in the API's paths: `/api/settings/{this}/fields`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::SalesAccount => "sales_accounts",
            Self::Deal => "deals",
        }
    }

    /// The key that wraps one record in bodies.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::SalesAccount => "sales_account",
            Self::Deal => "deal",
        }
    }
}

/// The fields of one entity, as an answer of the settings endpoint lists them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Fields {
    /// In the account's own order.
    pub fields: Vec<Field>,
}

/// A field that is not used because its metadata is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The internal name; the field's number in the account's order if it has no name.
    pub name: String,
    /// What is malformed, in words without the account's data.
    pub why: String,
}

/// The longest name of a left-out field that is reported, in characters.
const LONGEST_REPORTED_NAME: usize = 80;

impl Fields {
    /// Reads an answer of the settings endpoint field by field, so that one malformed field does not cost the others.
    /// Returns the malformed ones too. `None` if the answer has no list of fields.
    pub fn read(answer: &Value) -> Option<(Self, Vec<LeftOut>)> {
        let listed = answer.get("fields")?.as_array()?;
        let mut fields: Vec<Field> = Vec::with_capacity(listed.len());
        let mut left_out = Vec::new();
        let mut names = HashSet::with_capacity(listed.len());
        for (index, value) in listed.iter().enumerate() {
            let why = match serde_path_to_error::deserialize::<_, Field>(value) {
                Ok(_) if !value.is_object() => "it is no object".to_owned(),
                Ok(field) if field.name.is_empty() => "it has no name".to_owned(),
                Ok(field) if !names.insert(field.name.clone()) => "another field has its name".to_owned(),
                Ok(field) => {
                    fields.push(field);
                    continue;
                }
                // The error's own message may quote the account's data.
                Err(error) => match error.path().to_string().as_str() {
                    "." => "it is no object, or lacks a key".to_owned(),
                    path => format!("its {path} is not what is expected"),
                },
            };
            let named = value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let name = named.map_or_else(
                || format!("number {}", index + 1),
                |name| name.chars().filter(|c| !c.is_control()).take(LONGEST_REPORTED_NAME).collect(),
            );
            left_out.push(LeftOut { name, why });
        }
        Some((Self { fields }, left_out))
    }

    /// Whether the entity has no usable field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field with this internal name, to the letter.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The fields of all of an account's entities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// The contact's fields.
    pub contact: Fields,
    /// The sales account's fields.
    pub sales_account: Fields,
    /// The deal's fields.
    pub deal: Fields,
}

impl Schema {
    /// The fields of one entity.
    pub fn fields(&self, entity: Entity) -> &Fields {
        match entity {
            Entity::Contact => &self.contact,
            Entity::SalesAccount => &self.sales_account,
            Entity::Deal => &self.deal,
        }
    }
}

/// The word of every type, and an unknown one.
#[cfg(test)]
pub(crate) const FIELD_TYPES: &[&str] = &[
    "text",
    "textarea",
    "number",
    "dropdown",
    "multi_select_dropdown",
    "checkbox",
    "date",
    "radio",
    "auto_complete",
    "group_field",
    "date_time_split",
    "hologram",
];

#[cfg(test)]
mod tests {
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
        crate::fuzz::feed(
            "fields",
            &(proptest::collection::vec(odd, 0..6), 0usize..6),
            |(mut listed, place)| {
                let place = place.min(listed.len());
                listed.insert(place, json!({"name": "the good one", "type": "text"}));
                let (fields, left_out) = Fields::read(&json!({"fields": listed})).unwrap();
                proptest::prop_assert!(fields.get("the good one").is_some());
                proptest::prop_assert_eq!(fields.fields.len() + left_out.len(), listed.len());
                Ok(())
            },
        );
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
        let read_only: Vec<_> =
            fields.fields.iter().filter(|f| f.read_only()).map(|f| f.name.as_str()).collect();
        assert_eq!(read_only, ["created_at", "score"]);
        assert!(!fields.fields[3].read_only(), "a custom field may have a system field's name");
    }
}
