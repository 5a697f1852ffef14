//! Reads a text that was checked before into values that borrow from it. It builds nothing that the text does not have, and
//! skips nothing: each byte is looked at once.

use std::borrow::Cow;

use super::given::{Entries, Given};
use crate::object::{end_of_string, next_in_string, unescaped};

/// The length of most members, or less, in bytes.
const USUAL_MEMBER: usize = 24;

/// The most members for which room is made at once.
const USUAL_MEMBERS: usize = 64;

/// The members of an object. Of any other text there are none or fewer, and nothing panics.
pub(super) fn entries(object: &str) -> Entries<'_> {
    let mut members = Vec::with_capacity((object.len() / USUAL_MEMBER + 1).min(USUAL_MEMBERS));
    Reader::new(object).add_members(&mut members);
    Entries::of(members)
}

/// From the beginning of a text to its end.
struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte after blanks and the signs between values.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self) -> Given<'a> {
        match self.next() {
            None => Given::Null,
            Some(b'"') => Given::Text(self.string()),
            Some(b'{') => Given::Object(Entries::of(self.members())),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                while self.next().is_some_and(|byte| byte != b']') {
                    items.push(self.value());
                }
                self.at += 1;
                Given::List(items)
            }
            Some(_) => self.word(),
        }
    }

    /// The members of the object that begins here, those of repeated names included.
    fn members(&mut self) -> Vec<(Cow<'a, str>, Given<'a>)> {
        let mut members = Vec::new();
        self.add_members(&mut members);
        members
    }

    fn add_members(&mut self, members: &mut Vec<(Cow<'a, str>, Given<'a>)>) {
        if self.next() == Some(b'{') {
            self.at += 1;
            while self.next() == Some(b'"') {
                let key = self.string();
                members.push((key, self.value()));
            }
            self.at += 1;
        }
    }

    /// A number, or a word such as `null`.
    fn word(&mut self) -> Given<'a> {
        let start = self.at;
        // At least one byte, so that reading comes to an end whatever the text.
        self.at += 1;
        while !matches!(self.byte(), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        match self.since(start) {
            "null" => Given::Null,
            "true" => Given::Bool(true),
            "false" => Given::Bool(false),
            digits => Given::Number(signed_exponent(digits)),
        }
    }

    /// The string that begins here with its quote.
    fn string(&mut self) -> Cow<'a, str> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        self.at = next_in_string(bytes, start + 1);
        if self.byte() == Some(b'"') {
            self.at += 1;
            return self.text.get(start + 1..self.at - 1).unwrap_or_default().into();
        }
        self.at = end_of_string(bytes, start);
        unescaped(self.since(start)).into()
    }
}

/// `serde_json` writes `1E5` as `1e+5`.
fn signed_exponent(digits: &str) -> Cow<'_, str> {
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else { return digits.into() };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}e{sign}{exponent}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::any_json;
    use crate::json;
    use proptest::prelude::*;

    impl<'a> Given<'a> {
        pub(crate) fn read(text: &'a str) -> Self {
            Reader::new(text).value()
        }
    }

    fn written(text: &str) -> String {
        let mut out = String::new();
        Given::read(text).write(&mut out);
        out
    }

    #[test]
    fn values_are_read_as_the_parser_reads_them() {
        for text in [
            r#" {"a" : [ 1.10e+5 , -0, 1e400,1E5,1E-5, 1e-7,9007199254740993 ] ,"b\\\"\u00e9\ud83d\ude00":"x,}\\","":{ },"z":[[],{"d":"]"}]} "#,
            r#"{"a":1,"b":2,"a":{"c":1,"c":[2]},"b":3}"#,
            r#"{"$serde_json::private::Number":"7","x":{"$serde_json::private::RawValue":"[1]"}}"#,
            "true",
            " false ",
            "null",
            "-1.5",
            "\"\\u007f\\u0001\\/\\n\u{7f}\"",
            "[null,true,\"\"]",
        ] {
            let parsed = json::parse(text.as_bytes()).unwrap();
            assert_eq!(written(text), parsed.to_string(), "{text}");
            assert_eq!(Given::read(text).to_value(), parsed, "{text}");
            assert_eq!(Given::from(&parsed), Given::read(text), "{text}");
        }
    }

    #[test]
    fn of_many_members_the_last_of_a_name_counts_in_the_first_ones_place() {
        for names in [3, 100] {
            let members: Vec<String> = (0..300).map(|n| format!("\"k{}\":{n}", n * 7 % names)).collect();
            let text = format!("{{{}}}", members.join(","));
            assert_eq!(written(&text), json::parse(text.as_bytes()).unwrap().to_string());
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_as_the_parser_reads_it(value in any_json(&["a", "b"]), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            prop_assert_eq!(written(&text), value.to_string());
            prop_assert_eq!(Given::read(&text).to_value(), value);
        }

        #[test]
        fn no_text_makes_reading_panic_or_go_on_for_ever(text in "[{}\\[\\]\",:\\\\a1 eé]{0,40}") {
            prop_assert!(written(&text).len() <= 8 * text.len() + 8);
        }
    }
}
