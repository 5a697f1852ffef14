//! The fields of a record as the text in which they are sent. Lanes hold it until the event is settled: it takes a tenth of
//! the memory of values, and is written once.

use serde_json::Value;

use crate::object::{ObjectWriter, find, members, write_quoted};
use crate::segment::{Given, JsonMap};

/// The expected length of a record's text.
const USUAL_LENGTH: usize = 256;

/// An object's text, which is empty without members. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldTexts(String);

impl FieldTexts {
    /// The value of a field, as JSON.
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.0, name)
    }

    /// The object's text; empty if it has no members.
    pub fn into_text(self) -> Box<str> {
        self.0.into()
    }

    /// The fields as values, for those who compare them.
    pub fn values(&self) -> JsonMap {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Gives a field a value, for those who make records without mapping.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl Into<Value>) {
        let (name, value) = (name.as_ref(), value.into());
        if self.get(name).is_some() {
            self.replace(name, &Given::from(&value));
        } else {
            self.add(name, &Given::from(&value));
        }
    }

    /// Adds a field that is not there yet.
    pub(in crate::mapping) fn add(&mut self, name: &str, value: &Given<'_>) {
        if self.0.pop().is_none() {
            self.0.reserve(USUAL_LENGTH);
            self.0.push('{');
        } else {
            self.0.push(',');
        }
        write_quoted(&mut self.0, name);
        self.0.push(':');
        value.write(&mut self.0);
        self.0.push('}');
    }

    /// Gives a field another value, in its place.
    pub(in crate::mapping) fn replace(&mut self, name: &str, value: &Given<'_>) {
        let mut text = String::new();
        value.write(&mut text);
        let mut object = ObjectWriter::with_capacity(self.0.len() + text.len());
        for member in members(&self.0) {
            if member.name() == name {
                object.json(name, &text);
            } else {
                object.member(member);
            }
        }
        self.0 = object.finish();
    }
}

impl From<&JsonMap> for FieldTexts {
    fn from(values: &JsonMap) -> Self {
        let mut fields = Self::default();
        values.iter().for_each(|(name, value)| fields.insert(name, value.clone()));
        fields
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_written_in_their_order_and_replaced_in_their_place() {
        let mut fields = FieldTexts::default();
        assert_eq!((fields.get("a"), &*fields.clone().into_text()), (None, ""));
        for (name, value) in [("a", json!("x\"y")), ("b", json!([1, {"c": null}])), ("n\"\u{1}", json!(true))]
        {
            fields.add(name, &Given::from(&value));
        }
        assert_eq!(fields.get("b"), Some(r#"[1,{"c":null}]"#));
        fields.replace("a", &"z".into());
        fields.replace("n\"\u{1}", &Given::Null);
        assert_eq!(&*fields.into_text(), r#"{"a":"z","b":[1,{"c":null}],"n\"\u0001":null}"#);
    }
}
