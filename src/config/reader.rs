//! Reads a TOML table key by key and collects every problem, so that all mistakes show at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use toml::{Table, Value};

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as the user would write it: `accounts[0].api_key`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// A value as JSON has it; none for a table, and for a number that JSON does not know.
fn json(value: Value) -> Option<serde_json::Value> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Integer(number) => Some(number.into()),
        Value::Float(number) => serde_json::Number::from_f64(number).map(Into::into),
        Value::Boolean(flag) => Some(flag.into()),
        Value::Datetime(date) => Some(date.to_string().into()),
        Value::Array(items) => items.into_iter().map(json).collect::<Option<Vec<_>>>().map(Into::into),
        Value::Table(_) => None,
    }
}

/// The environment, as an argument, so that tests have their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One table being read. Keys are taken out; what is left at the end is unknown.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    /// Set where scalars may be overridden: the prefix of the variables.
    overrides: Option<(String, Environment<'a>)>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Section<'a> {
    /// A section whose scalars the environment may override.
    pub(super) fn overridable(
        root: &mut Table,
        name: &'static str,
        environment: Environment<'a>,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let table = match root.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                problems.push(Problem {
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

    /// A section without overrides.
    pub(super) fn plain(path: String, table: Table, problems: &'a mut Vec<Problem>) -> Self {
        Self { path, table, overrides: None, known: Vec::new(), problems }
    }

    /// Notes a mistake at one of the section's keys.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { key: format!("{}.{key}", self.path), message: message.into() });
    }

    /// Whether the file says anything for a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a key as it stands.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn scalar(&mut self, key: &'static str) -> Option<Value> {
        let from_file = self.raw(key);
        let Some((prefix, environment)) = &self.overrides else { return from_file };
        environment(&format!("{prefix}{}", key.to_uppercase())).map(Value::String).or(from_file)
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
            // What would be right says more than the type: `30` lacks a unit, `true` is none of the words. Else only the
            // quotes are missing.
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                Err(parse(&value.to_string()).map_or_else(|error| error.to_string(), |_| found()))
            }
        };
        parsed.map_err(|message| self.problem(key, message)).ok()
    }

    /// One string or a list of them, each of which `parse` understands; `split` finds the list in a string.
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

    /// A list of strings, each of which `parse` understands, and which may be empty. A single string is a list with commas
    /// between: so the environment says it.
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

    /// A number within a range; digits in a string where the environment says it.
    pub(super) fn number(&mut self, key: &'static str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = self.scalar(key)?;
        let expected = format!("expected a number from {} to {}", range.start(), range.end());
        let number = match &value {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53, or refused by the range")]
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::String(text) if self.overrides.is_some() => text.trim().parse().ok(),
            Value::String(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                self.problem(key, format!("{expected}, found {}", value.type_str()));
                return None;
            }
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.problem(key, expected);
        }
        number
    }

    /// A whole number within a range.
    pub(super) fn whole(&mut self, key: &'static str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let number = self.number(key, f64::from(*range.start())..=f64::from(*range.end()))?;
        if number.fract() != 0.0 {
            self.problem(key, "expected a whole number");
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a range of u32")]
        Some(number as u32)
    }

    /// A duration with its unit.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(key, parse_duration)
    }

    /// A number of bytes: with its unit, or a whole number.
    pub(super) fn size(&mut self, key: &'static str) -> Option<u64> {
        let size = match self.scalar(key)? {
            Value::String(text) => text.trim().parse::<bytesize::ByteSize>().ok().map(|size| size.0),
            Value::Integer(bytes) => u64::try_from(bytes).ok(),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                None
            }
        };
        let size = size.filter(|size| *size > 0);
        if size.is_none() {
            self.problem(key, "expected a size above zero, such as \"64MiB\", \"500kB\" or 1048576");
        }
        size
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.raw(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.problem(key, format!("expected true or false, found {}", value.type_str()));
        }
        flag
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.raw(key)?;
        let strings = value.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if strings.is_none() {
            self.problem(key, "expected a list of strings, such as [\"a\", \"b\"]");
        }
        strings
    }

    /// A table of strings.
    pub(super) fn string_table(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let Some(value) = self.raw(key) else { return BTreeMap::new() };
        let Value::Table(table) = value else {
            self.problem(key, "expected a table of \"trait\" = \"field\"");
            return BTreeMap::new();
        };
        let mut pairs = BTreeMap::new();
        for (name, value) in table {
            if let Value::String(text) = value {
                pairs.insert(name, text);
            } else {
                self.problem(
                    key,
                    format!(
                        "\"{name}\": expected the field's name as a string (quote names that contain dots)"
                    ),
                );
            }
        }
        pairs
    }

    /// A table of values as JSON has them; a date is its text.
    pub(super) fn value_table(&mut self, key: &'static str) -> BTreeMap<String, serde_json::Value> {
        let Some(value) = self.raw(key) else { return BTreeMap::new() };
        let Value::Table(table) = value else {
            self.problem(key, "expected a table of \"field\" = value");
            return BTreeMap::new();
        };
        let mut pairs = BTreeMap::new();
        for (name, value) in table {
            if let Some(value) = json(value) {
                pairs.insert(name, value);
            } else {
                let expected = "expected a string, a number, true, false, a date, or a list of these";
                self.problem(key, format!("\"{name}\": {expected}"));
            }
        }
        pairs
    }

    /// Whatever is left is unknown.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            self.problems.push(Problem {
                key: format!("{}.{}", self.path, named(key)),
                message: unknown_key(key, &self.known),
            });
        }
    }
}

/// A key as it may be told. What is no plain word is not repeated: a quote or an `=` in the wrong place makes a key
/// of a value, which may be a password.
pub(super) fn named(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(plain) {
        key.to_owned()
    } else {
        format!("(a key in quotes, of length {})", key.chars().count())
    }
}

/// "unknown key", with the nearest known one.
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

/// A duration such as `30s`, `200ms` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    // A day is 24 hours here; the library leaves days to calendars.
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) if !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (days, rest)
        }
        _ => ("0", text),
    };
    let days = days.parse::<u32>().ok().map(|days| Duration::from_hours(24).saturating_mul(days));
    let rest = if rest.is_empty() && text.ends_with('d') {
        Some(Duration::ZERO)
    } else {
        rest.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok())
    };
    days.zip(rest)
        .and_then(|(days, rest)| days.checked_add(rest))
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            "expected a duration above zero with its unit, such as \"200ms\", \"30s\" or \"3d\"".to_owned()
        })
}
