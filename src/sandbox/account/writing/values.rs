//! One value against one field: stored, ignored without an error, or refused.

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde_json::{Number, Value};

use crate::{
    sandbox::{
        account::store::Store,
        metadata::numbers::{id, whole},
    },
    schema::{Choice, ChoiceId, Entity, Field, FieldType},
};

/// The longest text of one line, in characters.
const MAX_TEXT_CHARS: usize = 255;

/// The longest text of several lines, in characters.
const MAX_TEXTAREA_CHARS: usize = 65_535;

/// What a value that was not refused does to its field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldChange {
    /// The value in the form in which the API returns it.
    Set(Value),
    /// The field loses its value, without an error.
    Clear,
    /// The field keeps its value, without an error.
    Ignore,
}

/// What checking a value needs to know besides the field.
pub(super) struct ValueChecker<'a> {
    pub(super) store: &'a Store,
    /// The account's time zone.
    pub(super) offset: Offset,
}

impl ValueChecker<'_> {
    /// `value` is not null. The error is the message that the API answers.
    pub(super) fn check(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        match &field.kind {
            FieldType::Text => text(field, value, MAX_TEXT_CHARS),
            FieldType::Textarea => text(field, value, MAX_TEXTAREA_CHARS),
            FieldType::Number => number(field, value),
            FieldType::Dropdown | FieldType::Radio if field.custom() => choice_by_label(field, value),
            FieldType::Dropdown | FieldType::Radio => choice_by_id(field, value),
            FieldType::MultiSelectDropdown => choices(field, value),
            FieldType::Checkbox => match value {
                Value::Bool(_) => Ok(FieldChange::Set(value.clone())),
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    Err(invalid(field))
                }
            },
            FieldType::Date => match self.date(field, value) {
                // The only date that is known to be cleared by a wrong value, without an error.
                Err(_) if field.default && field.name == "expected_close" => Ok(FieldChange::Clear),
                checked => checked,
            },
            FieldType::DateTimeSplit => date_time(field, value),
            FieldType::AutoComplete => self.auto_complete(field, value),
            FieldType::GroupField => group(field, value),
            FieldType::Other(word) if word == "date_time" || word == "datetime" => date_time(field, value),
            FieldType::Other(_) => match value {
                Value::Array(_) | Value::Object(_) => Err(invalid(field)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    Ok(FieldChange::Set(value.clone()))
                }
            },
        }
    }

    /// A day as `2024-02-29`, or a time, which becomes the day it was in the account's time zone.
    fn date(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        let day = value.as_str().and_then(|text| match text.len() {
            10 if text.as_bytes().get(4) == Some(&b'-') => text.parse::<Date>().ok(),
            _ => {
                let moment = text.parse::<Timestamp>().ok()?;
                Some(self.offset.to_datetime(moment).date())
            }
        });
        let day = day.ok_or_else(|| format!("{} is not a valid date", field.label))?;
        Ok(FieldChange::Set(Value::String(day.to_string())))
    }

    fn auto_complete(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        match (Reference::of(field), field.multiple) {
            (Some(Reference::Record(entity)), false) => {
                let id = id(value).filter(|id| self.store.records(entity).get(*id).is_some());
                id.map(|id| FieldChange::Set(Value::from(id))).ok_or_else(|| invalid(field))
            }
            // The account's users are not in this field's metadata, so any id passes.
            (Some(Reference::User), false) => {
                id(value).map(|id| FieldChange::Set(Value::from(id))).ok_or_else(|| invalid(field))
            }
            // Links to several records have keys of their own, such as `contacts_added_list`.
            (Some(Reference::Record(_) | Reference::User), true) => Err(invalid(field)),
            (None, true) => strings(field, value),
            (None, false) => text(field, value, MAX_TEXT_CHARS),
        }
    }
}

/// What an `auto_complete` field refers to by id.
enum Reference {
    Record(Entity),
    User,
}

impl Reference {
    fn of(field: &Field) -> Option<Self> {
        let url = field.auto_suggest_url.as_deref()?;
        let names = |words: [&str; 2]| words.iter().any(|word| url.contains(word));
        if names(["include=user", "/users"]) {
            Some(Self::User)
        } else if names(["include=contact", "/contacts_full_details"]) {
            Some(Self::Record(Entity::Contact))
        } else if names(["include=sales_account", "/sales_accounts_full_details"]) {
            Some(Self::Record(Entity::SalesAccount))
        } else if names(["include=deal", "/deals_full_details"]) {
            Some(Self::Record(Entity::Deal))
        } else {
            None
        }
    }
}

fn invalid(field: &Field) -> String {
    format!("{} is invalid", field.label)
}

fn unknown_choice(field: &Field) -> String {
    format!("{} is not included in the list", field.label)
}

fn text(field: &Field, value: &Value, limit: usize) -> Result<FieldChange, String> {
    let text = value.as_str().ok_or_else(|| invalid(field))?;
    if text.chars().count() > limit {
        return Err(format!("{} is too long (maximum is {limit} characters)", field.label));
    }
    Ok(FieldChange::Set(value.clone()))
}

fn number(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.trim().parse::<Number>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    // The real message has the name of a default field, not its label: "Amount is not a number" for "Deal value".
    let name = if field.custom() { field.label.clone() } else { humanised(&field.name) };
    number
        .map(|number| FieldChange::Set(Value::Number(number)))
        .ok_or_else(|| format!("{name} is not a number"))
}

/// `annual_revenue` as "Annual revenue".
fn humanised(name: &str) -> String {
    let words = name.strip_suffix("_id").unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Default fields take the choice's id and refuse its label. Ranges also take a count, which becomes the range's start.
fn choice_by_id(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let id = scalar(value).ok_or_else(|| invalid(field))?;
    let start = id.parse::<i64>().ok().and_then(|count| range(field, count));
    if let Some(start) = start {
        return Ok(FieldChange::Set(Value::from(start)));
    }
    if field.choices.iter().any(|choice| choice.id.to_string() == id) {
        let id = id.parse::<i64>().map_or_else(|_| Value::String(id), Value::from);
        return Ok(FieldChange::Set(id));
    }
    Err(unknown_choice(field))
}

/// The start of the range that `count` is in, if the choices are ranges: the id is the start of the label, as `11` of
/// "11-50".
fn range(field: &Field, count: i64) -> Option<i64> {
    let is_start = |choice: &Choice| {
        let rest = choice.value.strip_prefix(&choice.id.to_string());
        rest.is_some_and(|rest| rest.starts_with(['-', '–', '+']))
    };
    // Labels alone do not show that this field has ranges: 10001 is also labelled "10000+".
    let ranges = field.name == "number_of_employees" || field.choices.iter().all(is_start);
    let starts = field.choices.iter().filter(|_| ranges).filter_map(|choice| match choice.id {
        ChoiceId::Number(start) => Some(start),
        ChoiceId::Text(_) => None,
    });
    starts.filter(|start| *start <= count).max()
}

/// Custom fields take the choice's label and ignore a number or an id in digits, without an error.
fn choice_by_label(field: &Field, value: &Value) -> Result<FieldChange, String> {
    match value {
        Value::Number(_) => Ok(FieldChange::Ignore),
        Value::String(label) if field.choices.iter().any(|choice| choice.value == *label) => {
            Ok(FieldChange::Set(value.clone()))
        }
        Value::String(id) if field.choices.iter().any(|choice| choice.id.to_string() == *id) => {
            Ok(FieldChange::Ignore)
        }
        Value::String(_) => Err(unknown_choice(field)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(invalid(field)),
    }
}

/// Choices joined with `;`: ids in default fields, labels in custom ones.
fn choices(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let text = value.as_str().ok_or_else(|| invalid(field))?;
    let known = |part: &str| {
        field
            .choices
            .iter()
            .any(|choice| if field.custom() { choice.value == part } else { choice.id.to_string() == part })
    };
    if text.split(';').all(known) { Ok(FieldChange::Set(value.clone())) } else { Err(unknown_choice(field)) }
}

fn date_time(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let moment = value.as_str().filter(|text| text.parse::<Timestamp>().is_ok());
    moment
        .map(|_| FieldChange::Set(value.clone()))
        .ok_or_else(|| format!("{} is not a valid date and time", field.label))
}

/// A list of texts, such as tags.
fn strings(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let all_strings = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if all_strings { Ok(FieldChange::Set(value.clone())) } else { Err(invalid(field)) }
}

/// A list of objects, each with a `value`.
fn group(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let has_value = |item: &Value| {
        item.get("value").and_then(Value::as_str).is_some_and(|text| {
            let length = text.chars().count();
            (1..=MAX_TEXT_CHARS).contains(&length)
        })
    };
    let whole = value.as_array().is_some_and(|items| items.iter().all(has_value));
    if whole { Ok(FieldChange::Set(value.clone())) } else { Err(invalid(field)) }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(whole(number).map_or_else(|| number.to_string(), |id| id.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
