//! Drop-downs, radios and multi-selects: which choice a value means, and what the API takes for it.

use std::collections::HashSet;

use serde_json::{Number, Value};

use super::Coercion;
use super::mismatch::TypeMismatch;
use super::ranges::{self, Ranges};
use super::texts::{Text, Texts};
use crate::schema::{self, ChoiceId};

/// How many labels a problem lists.
const LISTED: usize = 10;

/// The most choices, repeated ones included, that one value may give: each is compared with all of the field's.
const MOST: usize = 1000;

/// What a problem says of a label that would fall apart on the wire.
const SPLIT_LABEL: &str = "a label that contains ';' cannot be sent in a list joined with ';'";

/// A field's choices. Looked through one by one: an account has a few hundred at most, and an index by everything that
/// may name one would be the largest part of an idle lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices<'a> {
    kept: &'a [KeptChoice],
    texts: &'a Texts,
    /// Custom fields take labels: the API silently drops ids there. Default fields take ids.
    by_label: bool,
}

/// A choice as it is kept, its texts elsewhere.
#[derive(Debug)]
pub(super) struct KeptChoice {
    id: ChoiceId<Text>,
    label: Text,
}

impl KeptChoice {
    pub(super) fn new(choice: &schema::Choice, texts: &mut Texts) -> Self {
        Self { label: texts.add(&choice.value), id: choice.id.map(|id| texts.add(id)) }
    }
}

/// A choice that a label may mean.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) id: Option<i64>,
    /// What the API takes for it.
    pub(super) wire: Value,
    /// Whether its label is the same to the letter.
    pub(super) exact: bool,
}

#[derive(Debug, Clone, Copy)]
struct Choice<'a> {
    id: ChoiceId<&'a str>,
    label: &'a str,
}

impl<'a> Choices<'a> {
    pub(super) fn new(kept: &'a [KeptChoice], texts: &'a Texts, custom: bool) -> Self {
        Self { kept, texts, by_label: custom }
    }

    /// Whether the account lists any.
    pub(super) fn listed(&self) -> bool {
        !self.kept.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = Choice<'a>> + Clone {
        let texts = self.texts;
        let read = move |text: &Text| texts.get(*text);
        self.kept.iter().map(move |kept| Choice { id: kept.id.map(read), label: read(&kept.label) })
    }

    /// What the API takes for the value of a drop-down: a choice, or a count that is in a choice's range.
    pub(super) fn one(&self, value: &Value, coercion: Coercion) -> Result<Value, TypeMismatch> {
        self.counted(value, coercion)
            .map_or_else(|| self.single(value, coercion), |choice| Ok(self.wire(choice)))
    }

    /// The choice whose range has this count. In a range without an end, which has all large numbers, an id is an id.
    fn counted(&self, value: &Value, coercion: Coercion) -> Option<Choice<'a>> {
        let count = ranges::count(value, coercion)?;
        let numbers = |choice: Choice<'a>| match choice.id {
            ChoiceId::Number(id) => (choice.label, Some(id)),
            ChoiceId::Text(_) => (choice.label, None),
        };
        let found = Ranges::of(&self.iter().map(numbers))?.find(count)?;
        let is_id = |choice: Choice<'_>| choice.id.is(&count.to_string());
        let id = !found.bounded && self.iter().any(is_id);
        self.iter().nth(found.place).filter(|_| !id)
    }

    /// What the API takes for one choice.
    fn single(&self, value: &Value, coercion: Coercion) -> Result<Value, TypeMismatch> {
        let text = match value {
            Value::String(text) => text.as_str(),
            Value::Number(number) => number.as_str(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(self.unknown(value));
            }
        };
        if self.kept.is_empty() {
            return self.unlisted(text, value, coercion);
        }
        let lossless = coercion == Coercion::Lossless;
        let labelled = || self.all(|choice| choice.label == text);
        let id = || self.iter().find(|choice| choice.id.is(text)).into_iter().collect::<Vec<_>>();
        let found = if value.is_number() {
            some(id()).or_else(|| some(labelled()).filter(|_| lossless))
        } else {
            let text_id = |found: &Vec<Choice<'_>>| found.iter().any(|c| matches!(c.id, ChoiceId::Text(_)));
            let named_id = || some(id()).filter(|found| lossless || text_id(found));
            let folded_text: Vec<char> = folded(text).collect();
            let alike =
                || lossless.then(|| self.all(|choice| folded(choice.label).eq(folded_text.iter().copied())));
            some(labelled()).or_else(named_id).or_else(alike)
        };
        let mut wires = found.unwrap_or_default().into_iter().map(|choice| self.wire(choice));
        let Some(wire) = wires.next() else { return Err(self.unknown(value)) };
        if wires.all(|other| other == wire) {
            Ok(wire)
        } else {
            Err(TypeMismatch::new("several choices have this label", "a choice's id", value))
        }
    }

    /// All choices that have this label, where coercion is lossless in any case.
    pub(super) fn labelled(&self, text: &str, coercion: Coercion) -> Vec<Labelled> {
        let wanted: Vec<char> = folded(text).collect();
        let alike = |label: &str| coercion == Coercion::Lossless && folded(label).eq(wanted.iter().copied());
        self.iter()
            .filter(|choice| choice.label == text || alike(choice.label))
            .map(|choice| Labelled {
                id: match choice.id {
                    ChoiceId::Number(id) => Some(id),
                    ChoiceId::Text(_) => None,
                },
                wire: self.wire(choice),
                exact: choice.label == text,
            })
            .collect()
    }

    /// What the API takes for any number of choices; none if there are none.
    pub(super) fn several(&self, value: &Value, coercion: Coercion) -> Result<Option<Value>, TypeMismatch> {
        let given = match value {
            Value::Array(items) => items.len(),
            Value::String(text) => text.split(';').count(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => 1,
        };
        if given > MOST {
            let misfit =
                TypeMismatch::new("too many choices are given", format!("at most {MOST} of them"), value);
            return Err(TypeMismatch { got: format!("{given} choices"), ..misfit });
        }
        let mut wires = Vec::new();
        match value {
            Value::Array(items) => {
                for item in items.iter().filter(|item| !item.is_null()) {
                    if item.as_str().is_some_and(|text| text.trim().is_empty()) {
                        continue;
                    }
                    wires.push(self.joinable(item, coercion)?);
                }
            }
            Value::String(text) => match self.split(text, coercion) {
                Ok(split) => wires = split,
                // A label may itself contain the separator.
                Err(misfit) => wires.push(
                    self.joinable(value, coercion)
                        .map_err(|whole| if whole.problem == SPLIT_LABEL { whole } else { misfit })?,
                ),
            },
            Value::Number(_) if coercion == Coercion::Lossless => wires.push(self.joinable(value, coercion)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(self.unknown(value));
            }
        }
        let mut seen = HashSet::new();
        wires.retain(|wire| seen.insert(wire.clone()));
        Ok((!wires.is_empty()).then(|| Value::String(wires.join(";"))))
    }

    fn split(&self, text: &str, coercion: Coercion) -> Result<Vec<String>, TypeMismatch> {
        let pieces = text.split(';').filter(|piece| !piece.trim().is_empty());
        let pieces = pieces.map(|piece| match coercion {
            Coercion::Lossless => piece.trim(),
            Coercion::Strict => piece,
        });
        pieces.map(|piece| self.joinable(&Value::String(piece.to_owned()), coercion)).collect()
    }

    fn joinable(&self, item: &Value, coercion: Coercion) -> Result<String, TypeMismatch> {
        let wire = self.single(item, coercion)?;
        let wire = wire.as_str().map_or_else(|| wire.to_string(), str::to_owned);
        if wire.contains(';') {
            return Err(TypeMismatch::new(SPLIT_LABEL, self.expected(), item));
        }
        Ok(wire)
    }

    /// The metadata lists nothing: whatever has the right form may be right.
    fn unlisted(&self, text: &str, value: &Value, coercion: Coercion) -> Result<Value, TypeMismatch> {
        let lossless = coercion == Coercion::Lossless;
        if self.by_label {
            if value.is_string() || lossless {
                return Ok(Value::String(text.to_owned()));
            }
            return Err(TypeMismatch::new("wrong kind of value", "a choice's label, as a string", value));
        }
        let id = text.trim();
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        match id.parse::<Number>() {
            Ok(number) if digits && (value.is_number() || lossless) => Ok(Value::Number(number)),
            _ => Err(TypeMismatch::new(
                "the account lists no choices for this field, so a label cannot be turned into an id",
                "a choice's id, as an integer",
                value,
            )),
        }
    }

    fn wire(&self, choice: Choice<'_>) -> Value {
        if self.by_label {
            return Value::from(choice.label);
        }
        match choice.id {
            ChoiceId::Number(id) => Value::from(id),
            ChoiceId::Text(id) => Value::from(id),
        }
    }

    fn all(&self, is: impl Fn(&Choice<'_>) -> bool) -> Vec<Choice<'a>> {
        self.iter().filter(is).collect()
    }

    fn unknown(&self, got: &Value) -> TypeMismatch {
        TypeMismatch::new("this is none of the field's choices", self.expected(), got)
    }

    fn expected(&self) -> String {
        if self.kept.is_empty() {
            let what = if self.by_label { "a choice's label" } else { "a choice's id, as an integer" };
            return what.into();
        }
        let listed: Vec<&str> = self.iter().take(LISTED).map(|choice| choice.label).collect();
        let more = self.kept.len().saturating_sub(LISTED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("one of: {}{rest}", listed.join(", "))
    }
}

fn some<T>(found: Vec<T>) -> Option<Vec<T>> {
    Some(found).filter(|found| !found.is_empty())
}

/// A label's letters in lower case, without the blanks around them.
fn folded(label: &str) -> impl Iterator<Item = char> {
    label.trim().chars().flat_map(char::to_lowercase)
}
