//! The configuration's text: what it says, and where it says so.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Table;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigProblem, ProblemPlace};
use super::shown_line::{LinePart, ShownLine, is_lower_case, is_plain, leading_word};

/// Where the keys and values of a file are.
#[derive(Debug)]
pub(in crate::config) struct Source {
    text: String,
    /// By path, as problems name it.
    entries: BTreeMap<String, FilePlace>,
    /// All keys and all single values, in the order of the file.
    parts: Vec<LinePart>,
}

#[derive(Debug)]
struct FilePlace {
    key: Range<usize>,
    value: Range<usize>,
}

impl Source {
    /// Reads TOML, or says everything that keeps it from being TOML.
    pub(in crate::config) fn read(text: &str) -> Result<(Table, Self), Vec<ConfigProblem>> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut source = Self { text: text.to_owned(), entries: BTreeMap::new(), parts: Vec::new() };
        source.walk("", tree.get_ref());
        source.parts.sort_by_key(|part| part.span.start);
        if !errors.is_empty() {
            let mut problems: Vec<_> =
                errors.iter().map(|error| source.not_toml(error, error.message())).collect();
            problems.sort_by_key(in_file);
            // What follows on the same line is mostly due to the first.
            problems.dedup_by_key(|problem| in_file(problem).0);
            return Err(problems);
        }
        match text.parse::<Table>() {
            Ok(table) => Ok((table, source)),
            // The tree above does not look at the values of numbers.
            Err(error) => Err(vec![source.not_toml(&error, "a number that is out of range")]),
        }
    }

    fn walk(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let (name, span) = (key.get_ref(), key.span());
            self.parts.push(LinePart::key(span.clone(), name));
            let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let inner = join(&entry_name(name));
            self.value(&inner, value.get_ref(), value.span());
            let entry = || FilePlace { key: span.clone(), value: value.span() };
            self.entries.entry(join(&shown_key(name))).or_insert_with(entry);
            self.entries.entry(inner).or_insert_with(entry);
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>, span: Range<usize>) {
        match value {
            DeValue::Table(table) => self.walk(path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let (path, span) = (format!("{path}[{index}]"), item.span());
                    self.value(&path, item.get_ref(), span.clone());
                    self.entries.insert(path, FilePlace { key: span.clone(), value: span });
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => self.parts.push(LinePart::value(span)),
        }
    }

    /// Finds the place of a key, or that of the table in which it is missing. `of_key`: its name is meant, not its value.
    pub(in crate::config) fn place(&self, key: &str, of_key: bool) -> Option<ProblemPlace> {
        let (entry, found) = self.nearest(key)?;
        let by_name = of_key || !found;
        let span = if by_name { &entry.key } else { &entry.value };
        // Of a value that is wrong its own text helps most. Every other value on the line may be a secret.
        let harmless = !by_name && !may_be_secret(key, self.text.get(span.clone())?);
        let meant = |part: &LinePart| span.start <= part.span.start && part.span.end <= span.end;
        let parts = self
            .on_line(span.start)
            .map(|part| LinePart { shown: part.shown || (harmless && meant(&part)), ..part });
        Some(self.at(span, parts))
    }

    fn not_toml(&self, error: &toml::de::Error, message: &str) -> ConfigProblem {
        let span = error.span().unwrap_or_default();
        // Nobody knows for certain what is a key here.
        let certain =
            |part: &LinePart| part.shown && self.text.get(part.span.clone()).is_some_and(is_lower_case);
        let parts = self.on_line(span.start).map(|part| LinePart { shown: certain(&part), ..part });
        let place = Some(self.at(&span, parts));
        ConfigProblem { key: None, message: message.to_owned(), variable: None, place }
    }

    /// The keys and values of the line around an offset.
    fn on_line(&self, at: usize) -> impl Iterator<Item = LinePart> {
        let bounds = self.line(at);
        let first = self.parts.partition_point(|part| part.span.end <= bounds.start);
        let rest = self.parts.get(first..).unwrap_or_default();
        rest.iter().take_while(move |part| part.span.start < bounds.end).cloned()
    }

    fn at(&self, span: &Range<usize>, parts: impl Iterator<Item = LinePart>) -> ProblemPlace {
        let bounds = self.line(span.start);
        let begins = bounds.start + leading_word(self.text.get(bounds.clone()).unwrap_or_default());
        let first = LinePart { span: bounds.start..begins, shown: true };
        let parts: Vec<LinePart> = std::iter::once(first).chain(parts).collect();
        let line = ShownLine::of(&self.text, bounds, &parts, span.start);
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        ProblemPlace {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column,
            marked: line.shown_range(&self.text, span),
            text: line.text().to_owned(),
        }
    }

    /// The line around an offset, without its end.
    fn line(&self, at: usize) -> Range<usize> {
        let (before, after) = self.text.split_at_checked(at).unwrap_or((&self.text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = after.split(['\r', '\n']).next().unwrap_or_default();
        start..before.len() + line.len()
    }

    fn nearest(&self, key: &str) -> Option<(&FilePlace, bool)> {
        if let Some(entry) = self.entries.get(key) {
            return Some((entry, true));
        }
        let mut rest = key;
        while let Some(at) = rest.rfind(['.', '[']) {
            rest = rest.get(..at)?;
            if let Some(entry) = self.entries.get(rest) {
                return Some((entry, false));
            }
        }
        None
    }
}

/// Sorts problems as they are in the file; what is not there comes last.
pub(in crate::config) fn in_file(problem: &ConfigProblem) -> (usize, usize) {
    problem.place.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column))
}

/// A key as paths have it, unmistakably: in quotes if it is more than a word.
pub(in crate::config) fn entry_name(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { format!("{key:?}") }
}

/// A key as errors may show it: only plain words. A misplaced quote or `=` turns a value, perhaps a password, into a key.
pub(in crate::config) fn shown_key(key: &str) -> String {
    if is_plain(key) {
        key.to_owned()
    } else {
        format!("(a key in quotes, of length {})", key.chars().count())
    }
}

/// Whether a value is a secret, or an address that may hold one.
fn may_be_secret(key: &str, value: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).split('[').next().unwrap_or(key);
    ["api_key", "app_token", "admin_token", "client_key"].contains(&name)
        || key.starts_with("broker.url")
        || (name == "url" && value.contains(['@', '?', '#']))
}
