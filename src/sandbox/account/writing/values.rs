//! One value against one field: kept, left out without a word, or refused.

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde_json::{Number, Value};

use crate::sandbox::account::store::Store;
use crate::schema::{Choice, ChoiceId, Entity, Field, FieldType};

/// The longest text of one line, in characters.
const TEXT_LIMIT: usize = 255;

/// The largest number up to which no whole number shares its form with another: 2^53 - 1.
pub(in crate::sandbox) const ALL_WHOLE: f64 = 9_007_199_254_740_991.0;

/// The longest text of several lines, in characters.
const TEXTAREA_LIMIT: usize = 65_535;

/// What becomes of a value that was not refused.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sandbox) enum FieldChange {
    /// The field has this value now.
    Value(Value),
    /// The field has no value any more, and nobody is told.
    Blank,
    /// Nothing changes, and nobody is told: as the real API does with a custom drop-down's numeric id.
    Nothing,
}

/// What checking a value needs to know beside the field.
pub(in crate::sandbox) struct ValueChecker<'a> {
    pub(in crate::sandbox) store: &'a Store,
    pub(in crate::sandbox) offset: Offset,
}

impl ValueChecker<'_> {
    /// Checks a value that is not null. The error is the message the API answers.
    pub(in crate::sandbox) fn check(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        match &field.kind {
            FieldType::Text => text(field, value, TEXT_LIMIT),
            FieldType::Textarea => text(field, value, TEXTAREA_LIMIT),
            FieldType::Number => number(field, value),
            FieldType::Dropdown | FieldType::Radio if field.custom() => choice_by_label(field, value),
            FieldType::Dropdown | FieldType::Radio => choice_by_id(field, value),
            FieldType::MultiSelectDropdown => choices(field, value),
            FieldType::Checkbox => match value {
                Value::Bool(_) => Ok(FieldChange::Value(value.clone())),
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    Err(invalid(field))
                }
            },
            FieldType::Date => match self.date(field, value) {
                // The one date whose wrong values are known to be lost without an error.
                Err(_) if field.default && field.name == "expected_close" => Ok(FieldChange::Blank),
                kept => kept,
            },
            FieldType::DateTimeSplit => date_time(field, value),
            FieldType::AutoComplete => self.auto_complete(field, value),
            FieldType::GroupField => group(field, value),
            FieldType::Other(word) if word == "date_time" || word == "datetime" => date_time(field, value),
            FieldType::Other(_) => match value {
                Value::Array(_) | Value::Object(_) => Err(invalid(field)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    Ok(FieldChange::Value(value.clone()))
                }
            },
        }
    }

    /// A day; a moment becomes the day it is in the account's time zone.
    fn date(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        let day = value.as_str().and_then(|text| match text.len() {
            10 if text.as_bytes().get(4) == Some(&b'-') => text.parse::<Date>().ok(),
            _ => {
                let moment = text.parse::<Timestamp>().ok()?;
                Some(self.offset.to_datetime(moment).date())
            }
        });
        let day = day.ok_or_else(|| format!("{} is not a valid date", field.label))?;
        Ok(FieldChange::Value(Value::String(day.to_string())))
    }

    fn auto_complete(&self, field: &Field, value: &Value) -> Result<FieldChange, String> {
        match (Reference::of(field), field.multiple) {
            (Some(Reference::Record(entity)), false) => {
                let id = id(value).filter(|id| self.store.records(entity).get(*id).is_some());
                id.map(|id| FieldChange::Value(Value::from(id))).ok_or_else(|| invalid(field))
            }
            // Who works for the account is not part of this field's metadata.
            (Some(Reference::User), false) => {
                id(value).map(|id| FieldChange::Value(Value::from(id))).ok_or_else(|| invalid(field))
            }
            // Ties to several records have keys of their own, such as `contacts_added_list`.
            (Some(Reference::Record(_) | Reference::User), true) => Err(invalid(field)),
            (None, true) => strings(field, value),
            (None, false) => text(field, value, TEXT_LIMIT),
        }
    }
}

/// What an `auto_complete` looks up, where that is a record.
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

/// A record's id, as a whole number or as digits.
pub(in crate::sandbox) fn id(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => whole(number).and_then(|id| u64::try_from(id).ok()),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number in any of its forms: `11`, `11.0`, `1.1e1`.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= ALL_WHOLE)?;
        format!("{float:.0}").parse().ok()
    })
}

/// What the API calls a field when its value has the wrong form.
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
    Ok(FieldChange::Value(value.clone()))
}

fn number(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.trim().parse::<Number>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    // The real message names the attribute, not its label: "Amount is not a number" for "Deal value".
    let name = if field.custom() { field.label.clone() } else { humanised(&field.name) };
    number
        .map(|number| FieldChange::Value(Value::Number(number)))
        .ok_or_else(|| format!("{name} is not a number"))
}

/// `annual_revenue` as "Annual revenue".
fn humanised(name: &str) -> String {
    let words = name.strip_suffix("_id").unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Default fields take the choice's id; a label is refused. Ranges also take a count, and keep their start.
fn choice_by_id(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let id = scalar(value).ok_or_else(|| invalid(field))?;
    let start = id.parse::<i64>().ok().and_then(|count| range(field, count));
    if let Some(start) = start {
        return Ok(FieldChange::Value(Value::from(start)));
    }
    if field.choices.iter().any(|choice| choice.id.to_string() == id) {
        let kept = id.parse::<i64>().map_or_else(|_| Value::String(id), Value::from);
        return Ok(FieldChange::Value(kept));
    }
    Err(unknown_choice(field))
}

/// The start of the range that a count is in, if the choices are ranges: each id the start of its label, as `11` of
/// "11-50".
fn range(field: &Field, count: i64) -> Option<i64> {
    let is_start = |choice: &Choice| {
        let rest = choice.value.strip_prefix(&choice.id.to_string());
        rest.is_some_and(|rest| rest.starts_with(['-', '–', '+']))
    };
    // Its last label is written in more than one way: 10001 is called "10000+" too.
    let ranges = field.name == "number_of_employees" || field.choices.iter().all(is_start);
    let starts = field.choices.iter().filter(|_| ranges).filter_map(|choice| match choice.id {
        ChoiceId::Number(start) => Some(start),
        ChoiceId::Text(_) => None,
    });
    starts.filter(|start| *start <= count).max()
}

/// Custom fields take the label. A number, or the id of a choice in digits, is lost without a word.
fn choice_by_label(field: &Field, value: &Value) -> Result<FieldChange, String> {
    match value {
        Value::Number(_) => Ok(FieldChange::Nothing),
        Value::String(label) if field.choices.iter().any(|choice| choice.value == *label) => {
            Ok(FieldChange::Value(value.clone()))
        }
        Value::String(id) if field.choices.iter().any(|choice| choice.id.to_string() == *id) => {
            Ok(FieldChange::Nothing)
        }
        Value::String(_) => Err(unknown_choice(field)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(invalid(field)),
    }
}

/// Joined with `;`: ids for default fields, labels for custom ones.
fn choices(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let text = value.as_str().ok_or_else(|| invalid(field))?;
    let known = |part: &str| {
        field
            .choices
            .iter()
            .any(|choice| if field.custom() { choice.value == part } else { choice.id.to_string() == part })
    };
    if text.split(';').all(known) {
        Ok(FieldChange::Value(value.clone()))
    } else {
        Err(unknown_choice(field))
    }
}

fn date_time(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let moment = value.as_str().filter(|text| text.parse::<Timestamp>().is_ok());
    moment
        .map(|_| FieldChange::Value(value.clone()))
        .ok_or_else(|| format!("{} is not a valid date and time", field.label))
}

/// Tags and lists.
fn strings(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let all_strings = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if all_strings { Ok(FieldChange::Value(value.clone())) } else { Err(invalid(field)) }
}

/// A list of objects, each with a `value`.
fn group(field: &Field, value: &Value) -> Result<FieldChange, String> {
    let has_value = |item: &Value| {
        item.get("value").and_then(Value::as_str).is_some_and(|text| {
            let length = text.chars().count();
            (1..=TEXT_LIMIT).contains(&length)
        })
    };
    let whole = value.as_array().is_some_and(|items| items.iter().all(has_value));
    if whole { Ok(FieldChange::Value(value.clone())) } else { Err(invalid(field)) }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(whole(number).map_or_else(|| number.to_string(), |id| id.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
