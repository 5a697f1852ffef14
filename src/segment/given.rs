//! JSON values as a sender gave them, borrowed from the text of the event: nothing is copied but strings with escapes.
//! Decoding hands an identify's traits over as such values; mapping reads them, takes them, and writes what it made.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Number, Value};

use crate::object::write_quoted;

/// Up to this many, names are compared with each other. It is quicker, and allocates nothing.
const FEW: usize = 24;

type KeyedValue<'a> = (Cow<'a, str>, Given<'a>);

/// A JSON value. A number is its digits: those that a sender wrote, with an exponent as `serde_json` writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) enum Given<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Entries<'a>),
}

impl<'a> Given<'a> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The digits of a number.
    pub(crate) fn as_number(&self) -> Option<&str> {
        match self {
            Self::Number(digits) => Some(digits),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        self.as_number()?.parse().ok()
    }

    pub(crate) fn as_object(&self) -> Option<&Entries<'a>> {
        match self {
            Self::Object(entries) => Some(entries),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Whether it is a list or an object.
    pub(crate) fn has_parts(&self) -> bool {
        match self {
            Self::List(_) | Self::Object(_) => true,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }

    /// Adds the value's text without blanks.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => write_quoted(out, text),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_quoted(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The same as a value that borrows nothing.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(digits) => digits.parse::<Number>().map_or(Value::Null, Value::Number),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.to_owned(), value.to_value())).collect())
            }
        }
    }
}

impl<'a> From<&'a str> for Given<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a Value> for Given<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(number.as_str().into()),
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(object) => {
                Self::Object(object.iter().map(|(key, value)| (key.as_str().into(), value.into())).collect())
            }
        }
    }
}

/// An object's members in their order. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Entries<'a>(Vec<KeyedValue<'a>>);

impl<'a> Entries<'a> {
    /// Of members with one name the last counts, in the place of the first, as the parser has it.
    pub(super) fn of(members: Vec<KeyedValue<'a>>) -> Self {
        if repeats(&members) { members.into_iter().collect() } else { Self(members) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Given<'a>)> + Clone {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Cow<'a, str>, &mut Given<'a>)> {
        self.0.iter_mut().map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Given<'a>> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn at(&self, position: usize) -> Option<(&str, &Given<'a>)> {
        self.0.get(position).map(|(key, value)| (&**key, value))
    }

    pub(crate) fn at_mut(&mut self, position: usize) -> Option<&mut Given<'a>> {
        self.0.get_mut(position).map(|(_, value)| value)
    }

    /// Takes a member out, and leaves null in its place.
    pub(crate) fn take(&mut self, position: usize) -> Option<KeyedValue<'a>> {
        self.0.get_mut(position).map(|(key, value)| (std::mem::take(key), std::mem::take(value)))
    }

    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| name == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Given<'a>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Given<'a>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Adds a member whose name is not there yet.
    pub(crate) fn push(&mut self, key: impl Into<Cow<'a, str>>, value: Given<'a>) {
        self.0.push((key.into(), value));
    }

    /// Takes a member out. The last one comes into its place.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Given<'a>> {
        self.position(key).map(|position| self.0.swap_remove(position).1)
    }

    /// Adds the members of `further` that `keep` does not hide.
    pub(super) fn extend(&mut self, further: Self, keep: impl Fn(&str) -> bool) {
        self.0.extend(further.0.into_iter().filter(|(key, _)| keep(key)));
    }
}

impl<'a> FromIterator<KeyedValue<'a>> for Entries<'a> {
    fn from_iter<I: IntoIterator<Item = KeyedValue<'a>>>(members: I) -> Self {
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut kept: Vec<KeyedValue<'a>> = Vec::new();
        for (key, value) in members {
            let place = *places.entry(key.clone()).or_insert(kept.len());
            match kept.get_mut(place) {
                Some((_, earlier)) => *earlier = value,
                None => kept.push((key, value)),
            }
        }
        Self(kept)
    }
}

impl<'a> IntoIterator for Entries<'a> {
    type Item = KeyedValue<'a>;
    type IntoIter = std::vec::IntoIter<KeyedValue<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn repeats(members: &[KeyedValue<'_>]) -> bool {
    if members.len() <= FEW {
        let before = |place: usize| members.iter().take(place).map(|(key, _)| key);
        return members.iter().enumerate().any(|(place, (key, _))| before(place).any(|other| other == key));
    }
    let mut seen = HashSet::with_capacity(members.len());
    !members.iter().all(|(key, _)| seen.insert(key))
}
