//! The account's field metadata: built in, read from a directory, or replaced while running.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::schema::{Entity, Field, Fields};

/// A kind of record whose fields can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// People.
    Contacts,
    /// Companies.
    SalesAccounts,
    /// Opportunities.
    Deals,
    /// What a salesperson did; the sandbox shows its fields and keeps no records of it.
    SalesActivities,
}

impl Form {
    /// Every form.
    pub const ALL: &'static [Self] =
        &[Self::Contacts, Self::SalesAccounts, Self::Deals, Self::SalesActivities];

    /// The word in paths; with `.json` added, the name of its file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::SalesAccounts => "sales_accounts",
            Self::Deals => "deals",
            Self::SalesActivities => "sales_activities",
        }
    }

    /// The form of this word in a path.
    pub(in crate::sandbox) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|form| form.as_str() == word)
    }

    const fn built_in(self) -> &'static str {
        match self {
            Self::Contacts => include_str!("contacts.json"),
            Self::SalesAccounts => include_str!("sales_accounts.json"),
            Self::Deals => include_str!("deals.json"),
            Self::SalesActivities => include_str!("sales_activities.json"),
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

/// Why field metadata could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FieldsError {
    /// There is no such directory.
    #[error("{} is no directory: expected one with contacts.json, sales_accounts.json or deals.json", .0.display())]
    NoDirectory(PathBuf),
    /// The directory holds none of the files, so nothing would be taken from it.
    #[error("{} holds no field metadata: expected contacts.json, sales_accounts.json, deals.json or sales_activities.json", .0.display())]
    NoFiles(PathBuf),
    /// A file is there and cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no field metadata.
    #[error("{} is no field metadata: {problem}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

/// One form's fields: as the settings endpoint shows them, and as this program reads them.
#[derive(Clone)]
pub(in crate::sandbox) struct FieldFile {
    /// `{"fields": [..]}`, with keys this program does not use.
    pub(in crate::sandbox) raw: Value,
    /// The same, read.
    pub(in crate::sandbox) fields: Fields,
    /// Names of the fields marked with `"unique": true`. The real metadata is not known to tell them; the mark is ours.
    pub(in crate::sandbox) unique: Vec<String>,
}

/// The most custom fields an account can make unique.
const fn most_unique(form: Form) -> usize {
    match form {
        Form::Contacts => 4,
        Form::SalesAccounts => 2,
        Form::Deals | Form::SalesActivities => 0,
    }
}

impl FieldFile {
    /// A field's choices as the account sends them, with keys this program does not use.
    pub(in crate::sandbox) fn choices(&self, name: &str) -> impl Iterator<Item = &Value> {
        let fields = self.raw.get("fields").and_then(Value::as_array).into_iter().flatten();
        let field = fields.into_iter().find(|field| field.get("name").and_then(Value::as_str) == Some(name));
        field.and_then(|field| field.get("choices")?.as_array()).into_iter().flatten()
    }

    /// Reads `{"fields": [..]}` or the bare list.
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
        let unique: Vec<String> = raw
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|field| field.get("unique").and_then(Value::as_bool) == Some(true))
            .filter_map(|field| field.get("name")?.as_str().map(str::to_owned))
            .collect();
        let custom = unique.iter().filter(|name| fields.get(name).is_some_and(Field::custom)).count();
        if custom > most_unique(form) {
            let most = most_unique(form);
            return Err(format!(
                "{custom} custom fields of {} are unique; at most {most} can be",
                form.as_str()
            ));
        }
        Ok(Self { raw, fields, unique })
    }
}

/// The field metadata of a whole account.
#[derive(Clone)]
pub struct FieldFiles {
    contacts: Arc<FieldFile>,
    sales_accounts: Arc<FieldFile>,
    deals: Arc<FieldFile>,
    sales_activities: Arc<FieldFile>,
}

impl FieldFiles {
    /// An account with Freshsales' default fields and a custom field of every type.
    pub fn built_in() -> Self {
        Self::build(|form| Ok(built_in(form)))
            .unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// Reads `contacts.json`, `sales_accounts.json`, `deals.json` and `sales_activities.json` from a
    /// directory, each as the settings endpoint answers it. A file that is absent is taken from the
    /// built-in account; a directory without any of them is an error.
    pub fn load(directory: &Path) -> Result<Self, FieldsError> {
        if !directory.is_dir() {
            return Err(FieldsError::NoDirectory(directory.to_owned()));
        }
        let mut found = false;
        let files = Self::build(|form| {
            let path = directory.join(format!("{}.json", form.as_str()));
            match std::fs::read(&path) {
                Ok(text) => {
                    found = true;
                    FieldFile::parse(form, &text).map_err(|problem| FieldsError::Malformed { path, problem })
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(built_in(form)),
                Err(source) => Err(FieldsError::Unreadable { path, source }),
            }
        })?;
        if found { Ok(files) } else { Err(FieldsError::NoFiles(directory.to_owned())) }
    }

    /// One form's fields.
    pub(in crate::sandbox) fn get(&self, form: Form) -> &FieldFile {
        match form {
            Form::Contacts => &self.contacts,
            Form::SalesAccounts => &self.sales_accounts,
            Form::Deals => &self.deals,
            Form::SalesActivities => &self.sales_activities,
        }
    }

    /// Puts other fields in a form's place.
    pub(in crate::sandbox) fn replace(&mut self, form: Form, file: FieldFile) {
        match form {
            Form::Contacts => self.contacts = Arc::new(file),
            Form::SalesAccounts => self.sales_accounts = Arc::new(file),
            Form::Deals => self.deals = Arc::new(file),
            Form::SalesActivities => self.sales_activities = Arc::new(file),
        }
    }

    fn build<E>(mut file: impl FnMut(Form) -> Result<FieldFile, E>) -> Result<Self, E> {
        Ok(Self {
            contacts: Arc::new(file(Form::Contacts)?),
            sales_accounts: Arc::new(file(Form::SalesAccounts)?),
            deals: Arc::new(file(Form::Deals)?),
            sales_activities: Arc::new(file(Form::SalesActivities)?),
        })
    }
}

/// The built-in fields of one form. They are part of the program and a test reads them all;
/// an account without fields stands in for what cannot happen.
fn built_in(form: Form) -> FieldFile {
    FieldFile::parse(form, form.built_in().as_bytes()).unwrap_or_else(|_unreadable| FieldFile {
        raw: serde_json::json!({ "fields": [] }),
        fields: Fields::default(),
        unique: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    #[test]
    fn every_built_in_form_reads_whole() {
        for form in Form::ALL {
            let file = FieldFile::parse(*form, form.built_in().as_bytes());
            let count = file.map(|file| file.fields.fields.len());
            assert!(count.as_ref().is_ok_and(|count| *count >= 16), "{}: {count:?}", form.as_str());
        }
    }

    #[test]
    fn the_built_in_contact_has_a_custom_field_of_every_type() {
        let fields = built_in(Form::Contacts).fields;
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
    fn a_field_that_stands_twice_is_named() {
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
