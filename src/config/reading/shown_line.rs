//! A line of the configuration as an error may show it: asterisks stand for what may be a secret. Pure.

use std::ops::Range;

const BLANK: &str = "***";
/// The longest key has 28 characters.
const LONGEST_WORD: usize = 40;

/// A key or a single value of the file.
#[derive(Debug, Clone)]
pub(in crate::config) struct LinePart {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) shown: bool,
}

impl LinePart {
    pub(in crate::config) fn key(span: Range<usize>, name: &str) -> Self {
        Self { span, shown: is_plain(name) }
    }

    /// Hidden until somebody knows that it is no secret.
    pub(in crate::config) fn value(span: Range<usize>) -> Self {
        Self { span, shown: false }
    }
}

/// A line, and where its pieces come from.
#[derive(Debug, Default)]
pub(in crate::config) struct ShownLine {
    text: String,
    /// In the order of the line: in the file, in `text`, and whether it is the same there.
    pieces: Vec<(Range<usize>, Range<usize>, bool)>,
    mark: usize,
}

impl ShownLine {
    /// The line at `bounds` with the parts that may be shown. What is between parts is TOML's punctuation; a comment,
    /// which may hold anything, is left out. What begins before `mark` keeps its length, so that the columns are those
    /// of the file.
    pub(in crate::config) fn of(text: &str, bounds: Range<usize>, parts: &[LinePart], mark: usize) -> Self {
        let mut line = Self { mark, ..Self::default() };
        let mut at = bounds.start;
        for part in parts {
            let (start, end) = (part.span.start.max(at), part.span.end.min(bounds.end));
            if start >= end {
                continue;
            }
            line.between(text, at..start);
            line.push(text, start..end, part.shown);
            at = end;
        }
        line.between(text, at..bounds.end);
        let kept = line.text.trim_end().len();
        line.text.truncate(kept);
        line
    }

    fn between(&mut self, text: &str, span: Range<usize>) {
        let given = text.get(span.clone()).unwrap_or_default();
        let code = given.split('#').next().unwrap_or_default();
        let punctuation = |character: char| character.is_whitespace() || "=:.,[]{}".contains(character);
        let middle = span.start + code.len() - code.trim_start_matches(punctuation).len();
        self.push(text, span.start..middle, true);
        self.push(text, middle..span.start + code.len(), false);
    }

    fn push(&mut self, text: &str, span: Range<usize>, shown: bool) {
        let from = self.text.len();
        match text.get(span.clone()) {
            None | Some("") => return,
            // A terminal would take a control character for a command.
            Some(given) if shown => self.text.extend(given.chars().map(printable)),
            Some(given) if span.start < self.mark => self.text.extend(given.chars().map(|_| '*')),
            Some(_) => self.text.push_str(BLANK),
        }
        self.pieces.push((span, from..self.text.len(), shown));
    }

    pub(in crate::config) fn text(&self) -> &str {
        &self.text
    }

    /// Where a part of the file is in the shown text: at its end, if it is not on the line.
    pub(in crate::config) fn shown_range(&self, text: &str, span: &Range<usize>) -> Range<usize> {
        let one = text.get(span.start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        let wanted = span.end.max(span.start + one);
        let within = |at: usize, from: usize| text.get(from..at).map_or(0, |text| text.chars().count());
        let mut range: Option<Range<usize>> = None;
        for (given, shown, same) in &self.pieces {
            let (start, end) = (given.start.max(span.start), given.end.min(wanted));
            if start >= end {
                continue;
            }
            let piece = if *same {
                shown.start + (start - given.start)..shown.start + (end - given.start)
            } else if given.start < self.mark {
                shown.start + within(start, given.start)..shown.start + within(end, given.start)
            } else {
                shown.clone()
            };
            range = Some(range.map_or(piece.start, |before| before.start)..piece.end);
        }
        let length = self.text.len();
        let range = range.unwrap_or(length..length);
        range.start.min(length)..range.end.min(length)
    }
}

fn printable(character: char) -> char {
    let spare = char::from(b'?');
    if character.is_control() && character.len_utf8() == spare.len_utf8() { spare } else { character }
}

/// The word that a line begins with and the brackets around it, which is all that may be shown of a line that cannot be
/// read.
pub(in crate::config) fn leading_word(line: &str) -> usize {
    let code = line.trim_start_matches([' ', '\t', '[']);
    let word = code.find(|character: char| !(character.is_ascii_lowercase() || "_.".contains(character)));
    let word = word.unwrap_or(code.len());
    let ended = code
        .get(word..)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '=', ']', ':', '\r']));
    if ended && word <= LONGEST_WORD { line.len() - code.len() + word } else { 0 }
}

/// Whether a key is a plain word, which may be shown. Others may be values with a misplaced quote or `=`.
pub(in crate::config) fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether a word may be shown even where it is not certain that it is a key. Tokens have digits or capitals.
pub(in crate::config) fn is_lower_case(word: &str) -> bool {
    word.len() <= LONGEST_WORD && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_harmless_is_shown() {
        let text = "first = 1\n  keys = [ \"a\", 's3cret' ] # s3cret\nlast = 2";
        let at = |word: &str| text.find(word).map(|start| start..start + word.len()).unwrap();
        let bounds = 10..at("\nlast").start;
        let mut parts = vec![
            LinePart::key(at("first"), "first"),
            LinePart::key(at("keys"), "keys"),
            LinePart::value(at("\"a\"")),
            LinePart::value(at("'s3cret'")),
        ];
        let secret = at("'s3cret'");
        let line = ShownLine::of(text, bounds.clone(), &parts, secret.start);
        assert_eq!(line.text(), "  keys = [ ***, *** ]");
        assert_eq!(&line.text()[line.shown_range(text, &secret)], "***");
        parts[2].shown = true;
        let line = ShownLine::of(text, bounds.clone(), &parts, at("]").start);
        assert_eq!(line.text(), "  keys = [ \"a\", ******** ]");
        assert_eq!(&line.text()[line.shown_range(text, &at("\"a\""))], "\"a\"");
        // What lies beyond the line, or is left out, is meant by its end.
        assert_eq!(line.shown_range(text, &at("last")), line.text().len()..line.text().len());
        // What no part explains is hidden as well.
        parts.remove(3);
        assert_eq!(ShownLine::of(text, bounds, &parts, 0).text(), "  keys = [ \"a\", ***");
    }

    #[test]
    fn of_a_line_that_cannot_be_read_the_first_word_is_shown_if_it_is_no_token() {
        for (line, shown) in [
            ("prefetch 9", "prefetch"),
            ("  [accounts.fields", "  [accounts.fields"),
            ("[[accounts]", "[[accounts"),
            ("secret123", ""),
            ("sEcret", ""),
            ("\"secret\"", ""),
            ("secret@host", ""),
            ("secret\"", ""),
            ("", ""),
        ] {
            assert_eq!(&line[..leading_word(line)], shown, "{line}");
        }
    }
}
