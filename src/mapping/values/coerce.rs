//! A trait's value in the form in which the API takes it for a field's type. Records and defaults call it.

use serde_json::Number;

use super::choice;
use super::date;
use super::mismatch::TypeMismatch;
use super::tags;
use crate::mapping::Coercion;
use crate::mapping::fields::target::TargetField;
use crate::schema::{Entity, FieldType};
use crate::segment::{Entries, Given, whole};

/// The longest value of a one-line text field, in characters.
pub(in crate::mapping) const SINGLE_LINE_LIMIT: usize = 255;

/// The value as the API takes it. `None` if it is empty and the type has no empty value.
pub(in crate::mapping) fn coerce<'a>(
    target: TargetField<'a>,
    value: Given<'a>,
    coercion: Coercion,
) -> Result<Option<Given<'a>>, TypeMismatch> {
    if matches!(&value, Given::List(items) if items.is_empty()) {
        return Ok(None);
    }
    let blank = value.as_text().is_some_and(|text| text.trim().is_empty());
    match target.kind {
        FieldType::Text => text(value, Some(SINGLE_LINE_LIMIT), coercion).map(Some),
        FieldType::Textarea => text(value, None, coercion).map(Some),
        _ if blank => Ok(None),
        FieldType::Number => number(value, coercion).map(Some),
        FieldType::Checkbox => checkbox(value, coercion).map(Some),
        FieldType::Date => day(&value, coercion).map(Some),
        FieldType::DateTimeSplit => day_or_time(&value).map(Some),
        FieldType::Dropdown | FieldType::Radio => choice::one(target.choices, &value, coercion).map(Some),
        FieldType::MultiSelectDropdown => choice::several(target.choices, &value, coercion),
        FieldType::AutoComplete if target.multiple => {
            let mut items = scalars(tags::split(value, coercion), coercion)?;
            // Tags are texts. Other lists may hold ids, which are numbers.
            for item in items.iter_mut().filter(|item| target.name == "tags" && !item.is_null()) {
                *item = text(std::mem::take(item), None, Coercion::Lossless)?;
            }
            tags::clean(&mut items);
            Ok((!items.is_empty()).then_some(Given::List(items)))
        }
        FieldType::AutoComplete => reference(value).map(Some),
        FieldType::GroupField => group(value, coercion),
        FieldType::Other(_) => scalar(value).map(Some),
    }
}

/// The largest amount of a deal that Freshsales takes: above it, not every whole number is a float.
const LARGEST_AMOUNT: f64 = 9_007_199_254_740_991.0;

/// Refuses numbers that Freshsales could not keep. It keeps 64-bit floats: `1e400` would become infinite, `1e-400`
/// zero.
pub(in crate::mapping) fn check_range<'a>(
    entity: Entity,
    target: TargetField<'_>,
    value: Option<Given<'a>>,
) -> Result<Option<Given<'a>>, TypeMismatch> {
    let Some(value) = value else { return Ok(None) };
    if let Some(number) = lost_number(&value) {
        return Err(TypeMismatch::new(
            "no 64-bit float holds this number",
            "a number that a 64-bit float holds",
            number,
        ));
    }
    let amount = entity == Entity::Deal && target.name == "amount";
    let float = || value.as_number()?.parse::<f64>().ok();
    if amount && float().is_some_and(|amount| amount.abs() > LARGEST_AMOUNT) {
        return Err(TypeMismatch::new(
            "the amount is too large",
            "an amount of at most 9007199254740991",
            &value,
        ));
    }
    Ok(Some(value))
}

/// A number at any depth that no float holds. The depth is bounded by the parser that read the value.
fn lost_number<'v, 'a>(value: &'v Given<'a>) -> Option<&'v Given<'a>> {
    match value {
        Given::Number(digits) => {
            let float = digits.parse::<f64>().unwrap_or(f64::INFINITY);
            let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
            let zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
            (!float.is_finite() || (float == 0.0 && !zero)).then_some(value)
        }
        Given::List(items) => items.iter().find_map(lost_number),
        Given::Object(object) => object.values().find_map(lost_number),
        Given::Null | Given::Bool(_) | Given::Text(_) => None,
    }
}

/// The kind of value that a field takes, in words.
pub(in crate::mapping) fn wanted(target: TargetField<'_>) -> &'static str {
    match target.kind {
        FieldType::Text | FieldType::Textarea => "a string",
        FieldType::Number => "a number",
        FieldType::Dropdown | FieldType::Radio => "one of the field's choices",
        FieldType::MultiSelectDropdown => "some of the field's choices",
        FieldType::Checkbox => "true or false",
        FieldType::Date => "a date, YYYY-MM-DD",
        FieldType::DateTimeSplit => "an ISO 8601 date-time",
        FieldType::AutoComplete if target.multiple => "an array",
        FieldType::AutoComplete => "an id, as an integer",
        FieldType::GroupField => "an array of objects or strings",
        FieldType::Other(_) => "a value",
    }
}

/// `limit` is in characters.
pub(in crate::mapping) fn text(
    value: Given<'_>,
    limit: Option<usize>,
    coercion: Coercion,
) -> Result<Given<'_>, TypeMismatch> {
    let expected = || match limit {
        Some(limit) => format!("a string of at most {limit} characters"),
        None => "a string".to_owned(),
    };
    let converted = match (&value, coercion) {
        (Given::Text(_), _) => None,
        // `14155552671.0` is how a language without integers writes a phone number.
        (Given::Number(digits), Coercion::Lossless) => {
            Some(whole(digits, SINGLE_LINE_LIMIT).unwrap_or_else(|| digits.clone().into_owned()))
        }
        (Given::Bool(flag), Coercion::Lossless) => Some(flag.to_string()),
        _ => return Err(TypeMismatch::new("wrong kind of value", expected(), &value)),
    };
    let text = converted.as_deref().or(value.as_text()).unwrap_or_default();
    // In bytes, it is at least as long as in characters.
    if limit.is_some_and(|limit| text.len() > limit && text.chars().nth(limit).is_some()) {
        return Err(TypeMismatch::new("the text is too long", expected(), &value));
    }
    Ok(converted.map_or(value, |text| Given::Text(text.into())))
}

fn number(value: Given<'_>, coercion: Coercion) -> Result<Given<'_>, TypeMismatch> {
    match (&value, coercion) {
        (Given::Number(_), _) => Ok(value),
        // By JSON's grammar: text with leading zeros may be an identifier, and commas mean different things.
        (Given::Text(text), Coercion::Lossless) => match text.trim().parse::<Number>() {
            Ok(number) => Ok(Given::Number(number.as_str().to_owned().into())),
            Err(_) => Err(TypeMismatch::new("this is no number", "a number such as 1234.5", &value)),
        },
        _ => Err(TypeMismatch::new("wrong kind of value", "a number such as 1234.5", &value)),
    }
}

fn checkbox(value: Given<'_>, coercion: Coercion) -> Result<Given<'_>, TypeMismatch> {
    let text = value.as_text().map(str::trim).filter(|_| coercion == Coercion::Lossless);
    match text {
        _ if matches!(value, Given::Bool(_)) => Ok(value),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Given::Bool(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Given::Bool(false)),
        _ => Err(TypeMismatch::new("this is neither true nor false", "true or false", &value)),
    }
}

fn day<'a>(value: &Given<'_>, coercion: Coercion) -> Result<Given<'a>, TypeMismatch> {
    let expected = match coercion {
        Coercion::Strict => "a string YYYY-MM-DD",
        Coercion::Lossless => "a string YYYY-MM-DD, or an ISO 8601 date-time",
    };
    let day = value.as_text().and_then(|text| date::day(text, coercion));
    day.map(|day| Given::Text(day.into()))
        .ok_or_else(|| TypeMismatch::new("this is no date", expected, value))
}

fn day_or_time<'a>(value: &Given<'_>) -> Result<Given<'a>, TypeMismatch> {
    let time = value.as_text().and_then(date::day_or_time);
    let mismatch =
        || TypeMismatch::new("this is no date-time", "an ISO 8601 date-time or date, as a string", value);
    time.map(|time| Given::Text(time.into())).ok_or_else(mismatch)
}

fn reference(value: Given<'_>) -> Result<Given<'_>, TypeMismatch> {
    let integer = value.as_number().is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    if integer || value.as_text().is_some() {
        Ok(value)
    } else {
        Err(TypeMismatch::new("wrong kind of value", "an id, as an integer or a string", &value))
    }
}

fn scalar(value: Given<'_>) -> Result<Given<'_>, TypeMismatch> {
    if value.has_parts() {
        return Err(TypeMismatch::new("wrong kind of value", "a string, a number, true or false", &value));
    }
    Ok(value)
}

fn scalars(value: Given<'_>, coercion: Coercion) -> Result<Vec<Given<'_>>, TypeMismatch> {
    let mismatch =
        |got: &Given<'_>| TypeMismatch::new("wrong kind of value", "an array of strings or numbers", got);
    let items = listed(value, coercion, mismatch)?;
    match items.iter().find(|item| item.has_parts()) {
        Some(wrong) => Err(mismatch(wrong)),
        None => Ok(items),
    }
}

fn group(value: Given<'_>, coercion: Coercion) -> Result<Option<Given<'_>>, TypeMismatch> {
    let mismatch =
        |got: &Given<'_>| TypeMismatch::new("wrong kind of value", "an array of objects or strings", got);
    let mut objects = Vec::new();
    for item in listed(value, coercion, mismatch)? {
        match item {
            Given::Null => {}
            Given::Text(text) if text.trim().is_empty() => {}
            Given::Text(text) => {
                let mut object = Entries::default();
                object.push("value", Given::Text(text));
                objects.push(Given::Object(object));
            }
            Given::Object(_) => objects.push(item),
            Given::Bool(_) | Given::Number(_) | Given::List(_) => return Err(mismatch(&item)),
        }
    }
    Ok((!objects.is_empty()).then_some(Given::List(objects)))
}

/// The elements of a list. With lossless coercion, any other value is a list of one.
fn listed(
    value: Given<'_>,
    coercion: Coercion,
    mismatch: impl Fn(&Given<'_>) -> TypeMismatch,
) -> Result<Vec<Given<'_>>, TypeMismatch> {
    match (value, coercion) {
        (Given::List(items), _) => Ok(items),
        (single, Coercion::Lossless) => Ok(vec![single]),
        (single, Coercion::Strict) => Err(mismatch(&single)),
    }
}
