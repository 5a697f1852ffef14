//! JSON objects and arrays as text: their parts are read in place, and objects are put together, without building
//! values.
//!
//! A JSON value in memory takes up to a hundred times its text, and events are held by the hundred. Parts that are
//! passed on unread stay text, and so their digits, escapes and order stay as the sender wrote them. Callers have
//! checked that a text is JSON; of any other text fewer parts are found, and nothing panics.

use std::borrow::Cow;

use bytes::Bytes;

/// The text of one JSON object. Cheap to clone: it usually shares the body it is a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectText(Bytes);

impl ObjectText {
    /// `text` is a part of `body`, whose bytes are shared.
    pub fn part_of(body: &Bytes, text: &str) -> Self {
        Self(body.slice_ref(text.as_bytes()))
    }

    /// The text with its braces.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for ObjectText {
    fn default() -> Self {
        Self(Bytes::from_static(b"{}"))
    }
}

impl From<String> for ObjectText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

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
            return serde_json::from_str::<String>(self.key).unwrap_or_default().into();
        }
        let inner = self.key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
        inner.unwrap_or_default().into()
    }
}

/// The members of an object in their order, with those of repeated names.
#[derive(Debug, Clone)]
pub struct Members<'a>(&'a str);

/// Reads the members of an object.
pub fn members(object: &str) -> Members<'_> {
    Members(object.trim_start_matches(blank).strip_prefix('{').unwrap_or_default())
}

/// The value of the member with this name. Of several the last, as parsers do.
pub fn find<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    members(object).filter(|member| member.name() == name).last().map(|member| member.value)
}

/// The text of a JSON string; `None` of any other value. It borrows from a string without escapes.
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_matches(blank);
    // Of a text that may be no JSON, a control character is for the parser to refuse.
    if value.bytes().any(|byte| byte < b' ' || byte == b'\\') {
        return serde_json::from_str::<String>(value).ok().map(Cow::Owned);
    }
    value.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let rest = self.0.trim_start_matches(|c| blank(c) || c == ',');
        if !rest.starts_with('"') {
            return None;
        }
        let (key, rest) = rest.split_at_checked(end_of_value(rest))?;
        let rest = rest.trim_start_matches(blank).strip_prefix(':')?.trim_start_matches(blank);
        let (value, rest) = rest.split_at_checked(end_of_value(rest))?;
        self.0 = rest;
        Some(Member { key, value })
    }
}

/// The elements of an array in their order, as written.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a str);

/// Reads the elements of an array.
pub fn elements(array: &str) -> Elements<'_> {
    Elements(array.trim_start_matches(blank).strip_prefix('[').unwrap_or_default())
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(|c| blank(c) || c == ',');
        if rest.is_empty() || rest.starts_with(']') {
            return None;
        }
        let (element, rest) = rest.split_at_checked(end_of_value(rest).max(1))?;
        self.0 = rest;
        Some(element)
    }
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The index after the value that the text begins with.
fn end_of_value(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
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

/// The index after the string whose quote is at this index.
pub(crate) fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Writes an object member by member.
#[derive(Debug)]
pub struct ObjectWriter(String);

impl ObjectWriter {
    /// `bytes`: the expected length of the whole text.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// Adds a member unchanged.
    pub fn member(&mut self, member: Member<'_>) {
        self.key(member.key);
        self.0.push_str(member.value);
    }

    /// Adds all members of an object that was written here, unchanged.
    pub fn all(&mut self, object: &str) {
        let members = object.strip_prefix('{').and_then(|object| object.strip_suffix('}'));
        if let Some(members) = members.filter(|members| !members.is_empty()) {
            self.separate();
            self.0.push_str(members);
        }
    }

    /// Adds a member whose value is JSON text.
    pub fn json(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    /// Adds a member whose value is a string.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_quoted(&mut self.0, value);
    }

    fn name(&mut self, name: &str) {
        self.separate();
        write_quoted(&mut self.0, name);
        self.0.push(':');
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.0.push_str(key);
        self.0.push(':');
    }

    fn separate(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }

    /// Closes the object.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A text as a JSON string, with its quotes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    write_quoted(&mut quoted, text);
    quoted
}

/// Adds a text as a JSON string.
pub fn write_quoted(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        // Serialising a string cannot fail.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
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

    #[test]
    fn a_written_object_has_the_members_it_was_given() {
        let mut object = ObjectWriter::with_capacity(0);
        object.text("na\"me", "A\u{e9}\n");
        object.json("list", "[1.0]");
        for member in members(r#"{"\u0061":1e400}"#) {
            object.member(member);
        }
        object.all("{}");
        object.all(r#"{"x":1,"y":[]}"#);
        assert_eq!(object.finish(), r#"{"na\"me":"Aé\n","list":[1.0],"\u0061":1e400,"x":1,"y":[]}"#);
        assert_eq!(ObjectWriter::with_capacity(9).finish(), "{}");
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
