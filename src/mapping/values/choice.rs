//! Which of a field's choices a value means. Called for drop-downs, radios and multi-selects, and for the choices that
//! belong to a parent.

use std::collections::HashSet;

use serde_json::Number;

use super::mismatch::TypeMismatch;
use super::ranges;
use super::ranges::Ranges;
use crate::mapping::Coercion;
use crate::mapping::fields::{Choices, ListedChoice};
use crate::schema::ChoiceId;
use crate::segment::Given;

const LABELS_LISTED: usize = 10;

/// The most choices, repeated ones included, that one value may give: each is compared with all of the field's.
const MOST_CHOICES: usize = 1000;

const SEPARATOR_IN_LABEL: &str = "a label that contains ';' cannot be sent in a list joined with ';'";

/// A choice that a label may mean.
#[derive(Debug)]
pub(in crate::mapping) struct LabelMatch<'a> {
    pub(in crate::mapping) id: Option<i64>,
    /// As the API takes it.
    pub(in crate::mapping) wire: Given<'a>,
    /// The label is equal to the letter, not only when case and blanks around it are ignored.
    pub(in crate::mapping) exact: bool,
}

/// What the API takes for the value of a drop-down: a choice, or the choice whose range contains a count.
pub(in crate::mapping) fn one<'a>(
    choices: Choices<'a>,
    value: &Given<'_>,
    coercion: Coercion,
) -> Result<Given<'a>, TypeMismatch> {
    match by_count(choices, value, coercion) {
        Some(choice) => Ok(choices.wire(choice)),
        None => by_id_or_label(choices, value, coercion),
    }
}

/// What the API takes for the value of a multi-select; `None` if no choice is given.
pub(in crate::mapping) fn several<'a>(
    choices: Choices<'_>,
    value: &Given<'_>,
    coercion: Coercion,
) -> Result<Option<Given<'a>>, TypeMismatch> {
    let given = match value {
        Given::List(items) => items.len(),
        Given::Text(text) => text.split(';').count(),
        Given::Null | Given::Bool(_) | Given::Number(_) | Given::Object(_) => 1,
    };
    if given > MOST_CHOICES {
        return Err(TypeMismatch {
            problem: "too many choices are given".into(),
            expected: format!("at most {MOST_CHOICES} of them"),
            got: format!("{given} choices"),
        });
    }
    let mut wires = Vec::new();
    match value {
        Given::List(items) => {
            for item in items.iter().filter(|item| !item.is_null()) {
                if item.as_text().is_some_and(|text| text.trim().is_empty()) {
                    continue;
                }
                wires.push(joinable(choices, item, coercion)?);
            }
        }
        Given::Text(text) => match split(choices, text, coercion) {
            Ok(split) => wires = split,
            // A label may itself contain the separator.
            Err(mismatch) => wires.push(joinable(choices, value, coercion).map_err(|of_whole| {
                if of_whole.problem == SEPARATOR_IN_LABEL { of_whole } else { mismatch }
            })?),
        },
        Given::Number(_) if coercion == Coercion::Lossless => {
            wires.push(joinable(choices, value, coercion)?);
        }
        Given::Null | Given::Bool(_) | Given::Number(_) | Given::Object(_) => {
            return Err(unknown(choices, value));
        }
    }
    let mut seen = HashSet::new();
    wires.retain(|wire| seen.insert(wire.clone()));
    Ok((!wires.is_empty()).then(|| Given::Text(wires.join(";").into())))
}

/// The choices that have this label; with lossless coercion also those whose label differs in case only.
pub(in crate::mapping) fn with_label<'a>(
    choices: Choices<'a>,
    text: &str,
    coercion: Coercion,
) -> Vec<LabelMatch<'a>> {
    let wanted: Vec<char> = folded(text).collect();
    let alike = |label: &str| coercion == Coercion::Lossless && folded(label).eq(wanted.iter().copied());
    choices
        .iter()
        .filter(|choice| choice.label == text || alike(choice.label))
        .map(|choice| LabelMatch {
            id: numeric_id(choice),
            wire: choices.wire(choice),
            exact: choice.label == text,
        })
        .collect()
}

/// The choice whose range contains this count. A number that is a choice's id means that choice where it would
/// otherwise fall into the range without an end, which contains every large number.
fn by_count<'a>(choices: Choices<'a>, value: &Given<'_>, coercion: Coercion) -> Option<ListedChoice<'a>> {
    let count = ranges::count(value, coercion)?;
    let labels_and_ids = choices.iter().map(|choice| (choice.label, numeric_id(choice)));
    let found = Ranges::of(&labels_and_ids)?.find(count)?;
    let is_id = |choice: ListedChoice<'_>| choice.id.is(&count.to_string());
    let means_id = !found.bounded && choices.iter().any(is_id);
    choices.iter().nth(found.place).filter(|_| !means_id)
}

fn by_id_or_label<'a>(
    choices: Choices<'a>,
    value: &Given<'_>,
    coercion: Coercion,
) -> Result<Given<'a>, TypeMismatch> {
    let text = match value {
        Given::Text(text) | Given::Number(text) => text,
        Given::Null | Given::Bool(_) | Given::List(_) | Given::Object(_) => {
            return Err(unknown(choices, value));
        }
    };
    if choices.is_empty() {
        return unlisted(choices, text, value, coercion);
    }
    let lossless = coercion == Coercion::Lossless;
    let all = |is: &dyn Fn(&ListedChoice<'_>) -> bool| choices.iter().filter(is).collect::<Vec<_>>();
    let with_label = || all(&|choice| choice.label == text);
    let with_id = || choices.iter().find(|choice| choice.id.is(text)).into_iter().collect::<Vec<_>>();
    let is_number = value.as_number().is_some();
    let found = if is_number {
        non_empty(with_id()).or_else(|| non_empty(with_label()).filter(|_| lossless))
    } else {
        let named = |found: &Vec<ListedChoice<'_>>| found.iter().any(|c| matches!(c.id, ChoiceId::Text(_)));
        let with_text_id = || non_empty(with_id()).filter(|found| lossless || named(found));
        let folded_text: Vec<char> = folded(text).collect();
        let alike = || lossless.then(|| all(&|choice| folded(choice.label).eq(folded_text.iter().copied())));
        non_empty(with_label()).or_else(with_text_id).or_else(alike)
    };
    let mut wires = found.unwrap_or_default().into_iter().map(|choice| choices.wire(choice));
    let Some(wire) = wires.next() else { return Err(unknown(choices, value)) };
    if wires.all(|other| other == wire) {
        Ok(wire)
    } else {
        Err(TypeMismatch::new("several choices have this label", "a choice's id", value))
    }
}

fn split(choices: Choices<'_>, text: &str, coercion: Coercion) -> Result<Vec<String>, TypeMismatch> {
    let pieces = text.split(';').filter(|piece| !piece.trim().is_empty());
    let pieces = pieces.map(|piece| match coercion {
        Coercion::Lossless => piece.trim(),
        Coercion::Strict => piece,
    });
    pieces.map(|piece| joinable(choices, &piece.into(), coercion)).collect()
}

/// One choice as a part of a list joined with `;`.
fn joinable(choices: Choices<'_>, item: &Given<'_>, coercion: Coercion) -> Result<String, TypeMismatch> {
    let wire = by_id_or_label(choices, item, coercion)?;
    let wire = match wire {
        Given::Text(text) | Given::Number(text) => text.into_owned(),
        Given::Null | Given::Bool(_) | Given::List(_) | Given::Object(_) => {
            return Err(unknown(choices, item));
        }
    };
    if wire.contains(';') {
        return Err(TypeMismatch::new(SEPARATOR_IN_LABEL, expected(choices), item));
    }
    Ok(wire)
}

/// The account lists no choices for the field, so any value of the right form may be one.
fn unlisted<'a>(
    choices: Choices<'_>,
    text: &str,
    value: &Given<'_>,
    coercion: Coercion,
) -> Result<Given<'a>, TypeMismatch> {
    let lossless = coercion == Coercion::Lossless;
    if choices.by_label() {
        if value.as_text().is_some() || lossless {
            return Ok(Given::Text(text.to_owned().into()));
        }
        return Err(TypeMismatch::new("wrong kind of value", "a choice's label, as a string", value));
    }
    let id = text.trim();
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    match id.parse::<Number>() {
        Ok(number) if digits && (value.as_number().is_some() || lossless) => {
            Ok(Given::Number(number.as_str().to_owned().into()))
        }
        _ => Err(TypeMismatch::new(
            "the account lists no choices for this field, so a label cannot be turned into an id",
            "a choice's id, as an integer",
            value,
        )),
    }
}

fn unknown(choices: Choices<'_>, got: &Given<'_>) -> TypeMismatch {
    TypeMismatch::new("this is none of the field's choices", expected(choices), got)
}

fn expected(choices: Choices<'_>) -> String {
    if choices.is_empty() {
        let one = if choices.by_label() { "a choice's label" } else { "a choice's id, as an integer" };
        return one.into();
    }
    let listed: Vec<&str> = choices.iter().take(LABELS_LISTED).map(|choice| choice.label).collect();
    let more = choices.len().saturating_sub(LABELS_LISTED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("one of: {}{rest}", listed.join(", "))
}

fn numeric_id(choice: ListedChoice<'_>) -> Option<i64> {
    match choice.id {
        ChoiceId::Number(id) => Some(id),
        ChoiceId::Text(_) => None,
    }
}

fn non_empty<T>(found: Vec<T>) -> Option<Vec<T>> {
    Some(found).filter(|found| !found.is_empty())
}

/// A label in lower case, without blanks around it.
fn folded(label: &str) -> impl Iterator<Item = char> {
    label.trim().chars().flat_map(char::to_lowercase)
}
