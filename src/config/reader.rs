//! Reads a TOML table key by key and collects every problem, so that all mistakes are reported at once.

mod values;

use std::fmt::Display;
use std::str::FromStr;

use strum::VariantNames;
use toml::{Table, Value};

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// With its section: `accounts[0].api_key`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Looks up an environment variable. Tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One table. Each key that is read is removed; [`Section::finish`] reports the rest as unknown.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    /// The prefix of the environment variables that override keys, if any may.
    overrides: Option<(String, Environment<'a>)>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<ConfigProblem>,
}

impl<'a> Section<'a> {
    /// A section whose keys the environment may override.
    pub(super) fn overridable(
        root: &mut Table,
        name: &'static str,
        environment: Environment<'a>,
        problems: &'a mut Vec<ConfigProblem>,
    ) -> Self {
        let table = match root.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                problems.push(ConfigProblem {
                    key: name.to_owned(),
                    message: format!("expected a table `[{name}]`, found {}", other.type_str()),
                });
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
    pub(super) fn plain(path: String, table: Table, problems: &'a mut Vec<ConfigProblem>) -> Self {
        Self { path, table, overrides: None, known: Vec::new(), problems }
    }

    /// Reports a mistake at a key.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(ConfigProblem { key: format!("{}.{key}", self.path), message: message.into() });
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the file or the environment has the key.
    pub(super) fn given(&self, key: &str) -> bool {
        self.has(key) || self.overridden(key).is_some()
    }

    /// Whether the value that counts is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.overridden(key).is_none() && self.table.get(key).is_some_and(Value::is_table)
    }

    /// The variable that overrides the key, and its value.
    pub(super) fn overridden(&self, key: &str) -> Option<(String, String)> {
        let (prefix, environment) = self.overrides.as_ref()?;
        let name = format!("{prefix}{}", key.to_uppercase());
        environment(&name).map(|value| (name, value))
    }

    /// The key's value in the file.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn scalar(&mut self, key: &'static str) -> Option<Value> {
        let from_file = self.raw(key);
        self.overridden(key).map(|(_, value)| Value::String(value)).or(from_file)
    }

    /// A string that `parse` understands.
    pub(super) fn parsed<T, E: Display>(
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
    pub(super) fn parsed_each<T, E: Display>(
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
    pub(super) fn parsed_list<T, E: Display>(
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
    pub(super) fn word<T: FromStr + VariantNames + Default>(&mut self, key: &'static str) -> T {
        let expected = |_| {
            let words: Vec<String> = T::VARIANTS.iter().map(|word| format!("\"{word}\"")).collect();
            format!("expected {}", words.join(" or "))
        };
        self.parsed(key, |text| text.parse().map_err(expected)).unwrap_or_default()
    }

    /// Reports all keys that were not read.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            self.problems.push(ConfigProblem {
                key: format!("{}.{}", self.path, shown_key(key)),
                message: unknown_key(key, &self.known),
            });
        }
    }
}

/// A key as errors may show it: only plain words. A misplaced quote or `=` turns a value, perhaps a password, into a key.
pub(super) fn shown_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(plain) {
        key.to_owned()
    } else {
        format!("(a key in quotes, of length {})", key.chars().count())
    }
}

pub(super) fn unknown_key(key: &str, known: &[&'static str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((score, candidate)) if score > 0.7 => format!("unknown key; did you mean `{candidate}`?"),
        _ => format!("unknown key; known here: {}", known.join(", ")),
    }
}
