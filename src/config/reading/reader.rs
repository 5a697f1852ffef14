//! Reads a TOML table key by key and collects every problem, so that all mistakes are reported at once.

mod values;

use std::fmt::Display;
use std::str::FromStr;

use strum::VariantNames;
use toml::{Table, Value};

use super::problem::ConfigProblem;
use super::source::{Source, in_file, shown_key};

/// Looks up an environment variable. Tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The problems that were found so far, each with its place in the file.
#[derive(Debug)]
pub(in crate::config) struct Problems {
    source: Source,
    found: Vec<ConfigProblem>,
}

impl Problems {
    pub(in crate::config) fn new(source: Source) -> Self {
        Self { source, found: Vec::new() }
    }

    /// A value that is wrong or missing.
    pub(in crate::config) fn add(&mut self, key: String, message: impl Into<String>) {
        let place = self.source.place(&key, false);
        self.found.push(ConfigProblem { key: Some(key), message: message.into(), variable: None, place });
    }

    /// A value that an environment variable has.
    fn add_variable(&mut self, key: String, message: String, variable: String) {
        let variable = Some(variable);
        self.found.push(ConfigProblem { key: Some(key), message, variable, place: None });
    }

    /// A key of the table at `path` that does not exist.
    pub(in crate::config) fn add_unknown(&mut self, path: &str, key: &str, known: &[&'static str]) {
        let shown = shown_key(key);
        let key_path = if path.is_empty() { shown } else { format!("{path}.{shown}") };
        let place = self.source.place(&key_path, true);
        let message = unknown_key(key, known);
        self.found.push(ConfigProblem { key: Some(key_path), message, variable: None, place });
    }

    /// In the order of the file; the environment's come last.
    pub(in crate::config) fn into_sorted(mut self) -> Vec<ConfigProblem> {
        self.found.sort_by_key(in_file);
        self.found
    }
}

/// One table. Each key that is read is removed; [`Section::finish`] reports the rest as unknown.
pub(in crate::config) struct Section<'a> {
    path: String,
    table: Table,
    /// The prefix of the environment variables that override keys, if any may.
    overrides: Option<(String, Environment<'a>)>,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// A section whose keys the environment may override.
    pub(in crate::config) fn overridable(
        root: &mut Table,
        name: &'static str,
        environment: Environment<'a>,
        problems: &'a mut Problems,
    ) -> Self {
        let table = match root.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let message = format!("expected a table `[{name}]`, found {}", other.type_str());
                problems.add(name.to_owned(), message);
                Table::new()
            }
        };
        let prefix = format!("FRESHET_{}_", name.to_uppercase());
        Self {
            path: name.to_owned(),
            table,
            overrides: Some((prefix, environment)),
            known: Vec::new(),
            problems,
        }
    }

    /// A section that the environment cannot override.
    pub(in crate::config) fn plain(path: String, table: Table, problems: &'a mut Problems) -> Self {
        Self { path, table, overrides: None, known: Vec::new(), problems }
    }

    pub(in crate::config) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let path = format!("{}.{key}", self.path);
        let name = key.split('[').next().unwrap_or(key);
        match self.overridden(name) {
            Some((variable, _)) => self.problems.add_variable(path, message.into(), variable),
            None => self.problems.add(path, message),
        }
    }

    /// Whether the file has the key.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the file or the environment has the key.
    pub(in crate::config) fn given(&self, key: &str) -> bool {
        self.has(key) || self.overridden(key).is_some()
    }

    /// Whether the value that counts is a table.
    pub(in crate::config) fn is_table(&self, key: &str) -> bool {
        self.overridden(key).is_none() && self.table.get(key).is_some_and(Value::is_table)
    }

    /// The variable that overrides the key, and its value.
    pub(in crate::config) fn overridden(&self, key: &str) -> Option<(String, String)> {
        let (prefix, environment) = self.overrides.as_ref()?;
        let name = format!("{prefix}{}", key.to_uppercase());
        environment(&name).map(|value| (name, value))
    }

    /// The key's value in the file.
    pub(in crate::config) fn raw(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn scalar(&mut self, key: &'static str) -> Option<Value> {
        let from_file = self.raw(key);
        self.overridden(key).map(|(_, value)| Value::String(value)).or(from_file)
    }

    /// A string that `parse` understands.
    pub(in crate::config) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.scalar(key)?;
        let found = || format!("expected a string, found {}", value.type_str());
        let parsed = match &value {
            Value::String(text) => parse(text).map_err(|error| error.to_string()),
            Value::Array(_) | Value::Table(_) => Err(found()),
            // If the text is wrong as well, its own error says more than the type: `30` lacks a unit.
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                Err(parse(&value.to_string()).map_or_else(|error| error.to_string(), |_| found()))
            }
        };
        parsed.map_err(|message| self.problem(key, message)).ok()
    }

    /// A list of strings that `parse` understands, or one string that `split` turns into a list.
    pub(in crate::config) fn parsed_each<T, E: Display>(
        &mut self,
        key: &'static str,
        split: impl FnOnce(&str) -> Vec<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let value = self.scalar(key)?;
        let texts: Option<Vec<&str>> = match &value {
            Value::String(text) => Some(split(text)),
            Value::Array(items) if !items.is_empty() => items.iter().map(Value::as_str).collect(),
            Value::Array(_)
            | Value::Table(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => None,
        };
        let Some(texts) = texts else {
            self.problem(key, "expected a string, or a list of strings");
            return None;
        };
        let alone = texts.len() == 1;
        let mut parsed = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            match parse(text) {
                Ok(one) => parsed.push(one),
                Err(error) if alone => self.problem(key, error.to_string()),
                Err(error) => self.problem(&format!("{key}[{index}]"), error.to_string()),
            }
        }
        Some(parsed)
    }

    /// A list of strings that `parse` understands, possibly empty. The environment gives it as one string with commas.
    pub(in crate::config) fn parsed_list<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(value) = self.scalar(key) else { return Vec::new() };
        let texts: Option<Vec<&str>> = match &value {
            Value::String(text) => {
                Some(text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect())
            }
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            Value::Table(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => None,
        };
        let Some(texts) = texts else {
            self.problem(key, "expected a list of strings, such as [\"a\", \"b\"]");
            return Vec::new();
        };
        let mut parsed = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            match parse(text) {
                Ok(one) => parsed.push(one),
                Err(error) => self.problem(&format!("{key}[{index}]"), error.to_string()),
            }
        }
        parsed
    }

    /// One of the words of an enum, or its default.
    pub(in crate::config) fn word<T: FromStr + VariantNames + Default>(&mut self, key: &'static str) -> T {
        let expected = |_| {
            let words: Vec<String> = T::VARIANTS.iter().map(|word| format!("\"{word}\"")).collect();
            format!("expected {}", words.join(" or "))
        };
        self.parsed(key, |text| text.parse().map_err(expected)).unwrap_or_default()
    }

    /// Reports all keys that were not read.
    pub(in crate::config) fn finish(self) {
        for key in self.table.keys() {
            self.problems.add_unknown(&self.path, key, &self.known);
        }
    }
}

fn unknown_key(key: &str, known: &[&'static str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((score, candidate)) if score > 0.7 => format!("unknown key; did you mean `{candidate}`?"),
        _ => format!("unknown key; known here: {}", known.join(", ")),
    }
}
