//! One walk over a body: it checks that this is one JSON object in UTF-8, and finds its members on the way. Decoding and
//! the router read bodies with it.
//!
//! It takes what [`check`](super::check) takes, unless that nests deeper than values may. Of other bodies it does not say
//! what is wrong: they are few, and `check` reads those again to say it.

use std::borrow::Cow;

use super::check::{BODY_LIMIT, DEEPEST_JSON, unmarked};
use crate::object::{next_in_string, unescaped};

/// A place in the text of a body.
pub(in crate::segment) struct Walk<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// How many arrays and objects may still open inside one another.
    room: usize,
    surrogates: bool,
}

/// A body that was walked to its end.
pub(in crate::segment) struct Walked<'a> {
    /// Without a byte order mark.
    pub(in crate::segment) text: &'a str,
    /// Whether it has an escape that is half of a character. The other half may be missing.
    pub(in crate::segment) surrogates: bool,
}

/// Walks a body. `member` is called with each member's name, and must pass over its value.
pub(in crate::segment) fn walk<'a>(
    body: &'a [u8],
    member: impl FnMut(&mut Walk<'a>, Cow<'a, str>) -> Option<()>,
) -> Option<Walked<'a>> {
    if body.len() > BODY_LIMIT {
        return None;
    }
    let text = std::str::from_utf8(unmarked(body)).ok()?;
    let mut walk = Walk { text, at: 0, room: DEEPEST_JSON, surrogates: false };
    walk.next()?;
    walk.object(member)?;
    match walk.next() {
        None => Some(Walked { text, surrogates: walk.surrogates }),
        Some(_) => None,
    }
}

impl<'a> Walk<'a> {
    /// Passes over any value, and gives its text.
    pub(in crate::segment) fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.pass()?;
        self.text.get(start..self.at)
    }

    /// The same; of an object it calls `member` as [`walk`] does.
    pub(in crate::segment) fn value_with(
        &mut self,
        member: impl FnMut(&mut Self, Cow<'a, str>) -> Option<()>,
    ) -> Option<&'a str> {
        if self.byte() != Some(b'{') {
            return self.value();
        }
        let start = self.at;
        self.object(member)?;
        self.text.get(start..self.at)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte after blanks.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.byte() == Some(byte)).then(|| self.at += 1)
    }

    fn pass(&mut self) -> Option<()> {
        match self.byte()? {
            b'"' => self.string().map(drop),
            b'{' => self.members(|walk| {
                walk.string()?;
                walk.colon()?;
                walk.pass()
            }),
            b'[' => self.parts(b'[', b']', Self::pass),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Option<()>) -> Option<()> {
        self.members(|walk| {
            let start = walk.at;
            let escaped = walk.string()?;
            let quoted = walk.text.get(start..walk.at)?;
            walk.colon()?;
            member(
                walk,
                if escaped { unescaped(quoted).into() } else { quoted.get(1..quoted.len() - 1)?.into() },
            )
        })
    }

    fn members(&mut self, member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.parts(b'{', b'}', member)
    }

    /// What is between brackets, each `part` after blanks.
    fn parts(&mut self, open: u8, close: u8, mut part: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        self.room = self.room.checked_sub(1)?;
        if self.next()? != close {
            loop {
                part(self)?;
                if self.next()? != b',' {
                    break;
                }
                self.at += 1;
                self.next()?;
            }
        }
        self.room += 1;
        self.take(close)
    }

    fn colon(&mut self) -> Option<()> {
        self.next()?;
        self.take(b':')?;
        self.next().map(drop)
    }

    /// Passes over a string; whether it has escapes.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        self.at = next_in_string(self.text.as_bytes(), self.at);
        match self.take(b'"') {
            Some(()) => Some(false),
            None => self.escapes().map(|()| true),
        }
    }

    /// Passes over the rest of a string, from its first escape on.
    #[cold]
    fn escapes(&mut self) -> Option<()> {
        while self.take(b'"').is_none() {
            self.take(b'\\')?;
            self.escape()?;
            self.at = next_in_string(self.text.as_bytes(), self.at);
        }
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let letter = self.byte()?;
        self.at += 1;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                self.surrogates |=
                    matches!(digits, [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{almost_json, feed};
    use crate::object::members;
    use crate::segment::text::check::readable_text;
    use crate::segment::text::surrogates::mended;

    const BODIES: &[&str] = &[
        r#"{"type":"identify","a\u0041":[1.5e3,null,{"a":"x\ud83d\ude00"}],"b":{"c":-0,"c":{"d":[[],{}]}},"e":true}"#,
        r#"{ "x" : "\\\"" , "y" : [ false , 12345678901234567890.5 ] }"#,
    ];

    type Read<'a> = Option<Vec<(String, &'a str)>>;

    /// The members of the body and of the objects in it, in one walk.
    fn walked(body: &[u8]) -> (Read<'_>, bool) {
        let (mut own, mut inner) = (Vec::new(), Vec::new());
        let walked = walk(body, |walk, name| {
            let value = walk.value_with(|walk, name| {
                inner.push((name.into_owned(), walk.value()?));
                Some(())
            })?;
            own.push((name.into_owned(), value));
            Some(())
        });
        own.append(&mut inner);
        (walked.as_ref().map(|_| own), walked.is_some_and(|walked| walked.surrogates))
    }

    /// The same in a walk for each question: is it UTF-8, JSON, not too deep, and what are its members?
    fn checked(body: &[u8]) -> Read<'_> {
        let own: Vec<_> = members(readable_text(body).ok()?).collect();
        let inner = own.iter().filter(|member| member.value.starts_with('{'));
        let inner: Vec<_> = inner.flat_map(|member| members(member.value)).collect();
        Some(own.into_iter().chain(inner).map(|member| (member.name().into_owned(), member.value)).collect())
    }

    fn agrees(body: &[u8]) -> Result<(), TestCaseError> {
        let (read, surrogates) = walked(body);
        prop_assert_eq!(&read, &checked(body), "{}", String::from_utf8_lossy(body));
        let lone = matches!(mended(body), Cow::Owned(_));
        prop_assert!(surrogates || !lone || read.is_none(), "{}", String::from_utf8_lossy(body));
        Ok(())
    }

    #[test]
    fn one_walk_takes_what_the_parser_takes() {
        let values = [
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.50",
            "1e5",
            "1E+05",
            "1e",
            "1e-",
            "+1",
            "0x1",
            "1 2",
            "9007199254740993",
            "1e400",
            "null",
            "nul",
            "nulll",
            "true",
            "tru",
            "false",
            "falsee",
            "None",
            "\"\"",
            "\"",
            "\"\\",
            "\"\\\"",
            "\"\\\"\"",
            "\"\\u00e9\\/\\b\\f\\n\\r\\t\"",
            "\"\\u00g9\"",
            "\"\\u00\"",
            "\"\\x\"",
            "\"\\U0041\"",
            "\"\\ud83d\\ude00\"",
            "\"\\uD83D\"",
            "\"\\udc00\"",
            "\"\\ud7ff\"",
            "\"\t\"",
            "\"\u{7f}\u{e9}\u{1f600}\"",
            "\"1234567\\\\\"",
            "\"12345678\"",
            "\"123456789\u{1}\"",
            "[]",
            "[ ]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "]",
            "[1,[2,{\"a\":[]}]]",
            "{}",
            "{ }",
            "{,}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\" 1}",
            "{a:1}",
            "{1:2}",
            "{\"a\":1,\"a\":2,\"\\u0061\":3,\"\":4}",
            "{\"\\ud800\":1}",
            " 1 ",
            "\u{c}1",
            "\u{a0}1",
            "[1}",
            "{\"a\":1]",
            "",
        ];
        for value in values {
            for body in [
                format!("{{\"a\":{value}}}"),
                format!("\u{feff} \n{{\t\"\\u0061\" : {value}\r, \"b\":{value} }}\n"),
                format!("{{\"a\":[{value}]}} x"),
                format!("\u{feff}\u{feff}{{\"a\":{value}}}"),
                value.to_owned(),
            ] {
                agrees(body.as_bytes()).unwrap();
            }
        }
        let (read, surrogates) = walked(br#"{"\u0061":{"b":[1.0]},"c":"\ud83d"}"#);
        let read = read.unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(read, [("a", r#"{"b":[1.0]}"#), ("c", r#""\ud83d""#), ("b", "[1.0]")]);
        assert!(surrogates);
    }

    #[test]
    fn one_walk_goes_as_deep_as_values_may_nest() {
        for depth in 120..135 {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let body = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
                agrees(body.as_bytes()).unwrap();
                assert_eq!(walked(body.as_bytes()).0.is_some(), depth < DEEPEST_JSON, "{depth}");
            }
        }
        // Beside one another, any number may be.
        agrees(format!("{{\"a\":[{}1]}}", "[],{},".repeat(DEEPEST_JSON)).as_bytes()).unwrap();
        agrees([" ".repeat(BODY_LIMIT - 1).as_str(), "{}"].concat().as_bytes()).unwrap();
    }

    #[test]
    fn one_walk_reads_any_bytes_as_several_do() {
        let text = r#"[{}\[\]",:\\u0-9a-fD e+.\-truenlls\t\n]{0,24}"#;
        feed("any text of JSON's characters", &text.prop_map(|text| format!("{{\"a\":{text}}}")), |body| {
            agrees(body.as_bytes())
        });
        feed("any bytes", &prop::collection::vec(any::<u8>(), 0..60), |body| agrees(&body));
        feed("almost JSON", &almost_json(BODIES), |body| agrees(&body));
    }
}
