//! The members of objects and the elements of arrays, read in place.

use std::borrow::Cow;

use super::strings::{end_of_string, unescaped};

/// One member of an object, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// With its quotes and escapes.
    pub key: &'a str,
    /// The text of any JSON value.
    pub value: &'a str,
}

impl<'a> Member<'a> {
    /// The key without quotes and escapes.
    pub fn name(&self) -> Cow<'a, str> {
        if self.key.contains('\\') {
            return unescaped(self.key).into();
        }
        let inner = self.key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
        inner.unwrap_or_default().into()
    }
}

/// The members of an object in their order, with those of repeated names.
#[derive(Debug, Clone)]
pub struct Members<'a>(Rest<'a>);

/// Reads the members of an object.
pub fn members(object: &str) -> Members<'_> {
    Members(Rest::within(object, b'{'))
}

/// The value of the member with this name. Of several the last, as parsers do.
pub fn find<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    members(object).filter(|member| member.name() == name).last().map(|member| member.value)
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let Members(rest) = self;
        if rest.next_part()? != b'"' {
            return None;
        }
        let key = rest.value()?;
        if rest.after_blanks()? != b':' {
            return None;
        }
        rest.at += 1;
        rest.after_blanks();
        Some(Member { key, value: rest.value()? })
    }
}

/// The elements of an array in their order, as written.
#[derive(Debug, Clone)]
pub struct Elements<'a>(Rest<'a>);

/// Reads the elements of an array.
pub fn elements(array: &str) -> Elements<'_> {
    Elements(Rest::within(array, b'['))
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let Elements(rest) = self;
        if rest.next_part()? == b']' {
            return None;
        }
        let start = rest.at;
        // At least one byte, so that reading comes to an end whatever the text.
        rest.at = end_of_value(rest.text.as_bytes(), start).max(start + 1);
        rest.text.get(start..rest.at)
    }
}

/// What has not been read of an object's or an array's text.
#[derive(Debug, Clone, Copy)]
struct Rest<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Rest<'a> {
    /// Behind the opening bracket; of any other text there is nothing.
    fn within(text: &'a str, open: u8) -> Self {
        let mut rest = Self { text, at: 0 };
        if rest.after_blanks() == Some(open) {
            rest.at += 1;
        } else {
            rest.at = text.len();
        }
        rest
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte after blanks.
    fn after_blanks(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// The byte after blanks and commas.
    fn next_part(&mut self) -> Option<u8> {
        while self.after_blanks()? == b',' {
            self.at += 1;
        }
        self.byte()
    }

    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at = match self.byte() {
            Some(b'"') => end_of_string(bytes, start),
            _ => end_of_value(bytes, start),
        };
        self.text.get(start..self.at)
    }
}

/// The index after the value that begins at this one.
fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 1 => depth -= 1,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::any_json;
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(object: &str) -> Vec<(String, &str)> {
        members(object).map(|member| (member.name().into_owned(), member.value)).collect()
    }

    #[test]
    fn members_are_read_as_written() {
        let text = " {\"a\" : 1.10e+5 , \"b\\\"\\u0041\":\"x,}\\\\\",\n\"c\":[1,{\"d\":\"]\"}] ,\"\":{},\"a\":null }";
        let expected =
            [("a", "1.10e+5"), ("b\"A", r#""x,}\\""#), ("c", r#"[1,{"d":"]"}]"#), ("", "{}"), ("a", "null")];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(
            (find(text, "a"), find(text, "b\"A"), find(text, "x")),
            (Some("null"), Some(r#""x,}\\""#), None)
        );
        for none in ["", "{}", " { } ", "[1]", "1", "\"a\"", "null", "{,", "{\"a", "{\"a\":"] {
            assert!(read(none).iter().all(|(_, value)| value.is_empty()), "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_object_is_read_as_the_parser_reads_it(
            entries in prop::collection::vec((".{0,6}", any_json(&["a", "b"])), 0..6), pretty in any::<bool>(),
        ) {
            let object: serde_json::Map<String, Value> = entries.into_iter().collect();
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let text = text.unwrap();
            let read: serde_json::Map<String, Value> = members(&text)
                .map(|member| (member.name().into_owned(), serde_json::from_str(member.value).unwrap()))
                .collect();
            prop_assert_eq!(read, object);
        }

        #[test]
        fn any_array_is_read_as_the_parser_reads_it(
            list in prop::collection::vec(any_json(&["a", "b"]), 0..6), pretty in any::<bool>(),
        ) {
            let text = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) };
            let text = text.unwrap();
            let read: Vec<Value> = elements(&text).map(|one| serde_json::from_str(one).unwrap()).collect();
            prop_assert_eq!(read, list);
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[{}\\[\\]\",:\\\\a1 é]{0,40}") {
            prop_assert!(members(&text).count() <= text.len());
            prop_assert!(elements(&text).count() <= text.len());
        }
    }
}
