//! Freshsales' field metadata as data: what `/api/settings/{entity}/fields` says.
//! Pure; knows nothing of the other rooms.

mod field;

pub use field::{Choice, ChoiceId, Field, FieldType};

use serde::Deserialize;

/// A kind of record with a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    pub const ALL: &'static [Self] = &[Self::Contact, Self::SalesAccount, Self::Deal];

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

/// The fields of one entity, as an answer of the settings endpoint carries them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Fields {
    /// In the account's own order.
    pub fields: Vec<Field>,
}

impl Fields {
    /// The field with this internal name, to the letter.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Everything known of one account's fields.
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

/// Every type's word, and one that is none.
#[cfg(test)]
pub(crate) const KINDS: &[&str] = &[
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
    fn every_type_reads_and_tells_the_same_word() {
        for word in KINDS {
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
