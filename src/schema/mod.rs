//! Freshsales' field metadata as data: entities and their fields, as `/api/settings/{entity}/fields` describes them,
//! and what the account's selectors add. Lanes read it, mapping uses it, the sandbox serves it. It knows no other
//! room.

mod field;
mod per_entity;
mod selectors;

pub use field::{Choice, ChoiceId, Field, FieldType};
pub use per_entity::PerEntity;
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
pub type Schema = PerEntity<Fields>;

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
mod tests;
