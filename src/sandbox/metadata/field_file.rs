//! One form's field metadata, and what is wrong with a file that is none.

use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::schema::{Entity, Field, Fields};

/// A form whose fields the settings endpoint answers; its name in snake case is the word in paths, and with `.json` the
/// name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(in crate::sandbox) enum Form {
    Contacts,
    SalesAccounts,
    Deals,
    /// The sandbox answers its fields and keeps no such records.
    SalesActivities,
}

impl Form {
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        self.into_str()
    }

    const fn built_in(self) -> &'static str {
        match self {
            Self::Contacts => include_str!("contacts.json"),
            Self::SalesAccounts => include_str!("sales_accounts.json"),
            Self::Deals => include_str!("deals.json"),
            Self::SalesActivities => include_str!("sales_activities.json"),
        }
    }

    /// The most custom fields that an account can make unique.
    const fn max_unique(self) -> usize {
        match self {
            Self::Contacts => 4,
            Self::SalesAccounts => 2,
            Self::Deals | Self::SalesActivities => 0,
        }
    }
}

impl From<Entity> for Form {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::Contact => Self::Contacts,
            Entity::SalesAccount => Self::SalesAccounts,
            Entity::Deal => Self::Deals,
        }
    }
}

/// One form's fields, as the settings endpoint answers them and as this program reads them.
#[derive(Clone)]
pub(in crate::sandbox) struct FieldFile {
    /// `{"fields": [..]}`, with keys that this program does not use.
    pub(in crate::sandbox) raw: Value,
    pub(in crate::sandbox) fields: Fields,
    /// Names of the fields marked with `"unique": true`. The mark is the sandbox's own: the real metadata is not known to
    /// have one.
    pub(in crate::sandbox) unique: Vec<String>,
}

impl FieldFile {
    /// The file that is part of the program. A test reads all of them, so the account without fields never stands in.
    pub(super) fn built_in(form: Form) -> Self {
        Self::parse(form, form.built_in().as_bytes()).unwrap_or_else(|_unreadable| Self {
            raw: serde_json::json!({ "fields": [] }),
            fields: Fields::default(),
            unique: Vec::new(),
        })
    }

    /// A field's choices as the account sends them, with keys that this program does not use.
    pub(in crate::sandbox) fn choices(&self, name: &str) -> impl Iterator<Item = &Value> {
        let field = rows(&self.raw).find(|field| field.get("name").and_then(Value::as_str) == Some(name));
        field.and_then(|field| field.get("choices")?.as_array()).into_iter().flatten()
    }

    /// Reads `{"fields": [..]}` or the bare list. The error says what is wrong, and where.
    pub(in crate::sandbox) fn parse(form: Form, text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let raw = match value {
            Value::Array(fields) => serde_json::json!({ "fields": fields }),
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        };
        if raw.get("fields").is_none() {
            return Err(r#"expected {"fields": [..]} as the settings endpoint answers it"#.to_owned());
        }
        let fields: Fields = serde_path_to_error::deserialize(&raw).map_err(|error| error.to_string())?;
        let mut names: Vec<&str> = fields.fields.iter().map(|field| field.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
            return Err(format!("the field {name} is there twice"));
        }
        let unique: Vec<String> = rows(&raw)
            .filter(|field| field.get("unique").and_then(Value::as_bool) == Some(true))
            .filter_map(|field| field.get("name")?.as_str().map(str::to_owned))
            .collect();
        let custom = unique.iter().filter(|name| fields.get(name).is_some_and(Field::custom)).count();
        let max = form.max_unique();
        if custom > max {
            return Err(format!(
                "{custom} custom fields of {} are unique; at most {max} can be",
                form.as_str()
            ));
        }
        Ok(Self { raw, fields, unique })
    }
}

fn rows(raw: &Value) -> impl Iterator<Item = &Value> {
    raw.get("fields").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    #[test]
    fn every_built_in_form_can_be_parsed() {
        for form in Form::VARIANTS {
            let file = FieldFile::parse(*form, form.built_in().as_bytes());
            let count = file.map(|file| file.fields.fields.len());
            assert!(count.as_ref().is_ok_and(|count| *count >= 16), "{}: {count:?}", form.as_str());
        }
    }

    #[test]
    fn the_built_in_contact_has_a_custom_field_of_every_type() {
        let fields = FieldFile::built_in(Form::Contacts).fields;
        for kind in [
            FieldType::Text,
            FieldType::Textarea,
            FieldType::Number,
            FieldType::Dropdown,
            FieldType::MultiSelectDropdown,
            FieldType::Checkbox,
            FieldType::Date,
            FieldType::Radio,
            FieldType::AutoComplete,
            FieldType::Other("date_time".to_owned()),
        ] {
            assert!(fields.fields.iter().any(|field| field.custom() && field.kind == kind), "{kind:?}");
        }
        assert!(fields.get("cf_alternate_number").is_some_and(|field| field.kind == FieldType::Text));
    }

    #[test]
    fn a_field_that_is_there_twice_is_reported() {
        let text = br#"[{"name":"cf_a","type":"text"},{"name":"cf_a","type":"text"}]"#;
        assert_eq!(
            FieldFile::parse(Form::Contacts, text).err().as_deref(),
            Some("the field cf_a is there twice")
        );
    }

    #[test]
    fn only_so_many_custom_fields_can_be_unique() {
        for (form, most) in [(Form::Contacts, 4), (Form::SalesAccounts, 2), (Form::Deals, 0)] {
            let file = |count: usize| {
                let fields = (0..count).map(|at| {
                    serde_json::json!({"name": format!("cf_{at}"), "type": "text", "default": false, "unique": true})
                });
                FieldFile::parse(form, fields.collect::<Value>().to_string().as_bytes())
            };
            assert_eq!(file(most).map(|file| file.unique.len()), Ok(most));
            assert!(file(most + 1).is_err(), "{}", form.as_str());
        }
    }
}
