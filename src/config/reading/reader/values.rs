//! Reads the keys of a section that are numbers, durations, sizes, flags, lists or tables.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::Section;
use crate::config::reading::source::entry_name;
use crate::config::values::duration::parse_duration;
use crate::config::values::secret::SecretSource;

impl Section<'_> {
    /// A number within a range. The environment gives it as a string.
    pub(in crate::config) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<f64> {
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

    pub(in crate::config) fn whole(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = self.number(key, f64::from(*range.start())..=f64::from(*range.end()))?;
        if number.fract() != 0.0 {
            self.problem(key, "expected a whole number");
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a range of u32")]
        Some(number as u32)
    }

    pub(in crate::config) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(key, parse_duration)
    }

    /// A number of bytes, with a unit or without.
    pub(in crate::config) fn size(&mut self, key: &'static str) -> Option<u64> {
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

    pub(in crate::config) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.raw(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.problem(key, format!("expected true or false, found {}", value.type_str()));
        }
        flag
    }

    pub(in crate::config) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, |text| match text {
            "" => Err("expected a file"),
            path => Ok(PathBuf::from(path)),
        })
    }

    /// Where a secret is, without reading it. A variable that overrides the key holds the secret itself.
    pub(in crate::config) fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        let value = self.raw(key);
        if let Some((name, _)) = self.overridden(key) {
            return Some(SecretSource::Env(name));
        }
        SecretSource::parse(&value?).map_err(|message| self.problem(key, message)).ok()
    }

    pub(in crate::config) fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.raw(key)?;
        let strings = value.as_array().and_then(|items| {
            // An empty one comes from a template whose variable is not set. As a write key it would match events whose key is
            // empty.
            let text = |item: &Value| item.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
            items.iter().map(text).collect::<Option<Vec<_>>>()
        });
        if strings.is_none() {
            self.problem(key, "expected a list of strings that are not empty, such as [\"a\", \"b\"]");
        }
        strings
    }

    pub(in crate::config) fn string_table(&mut self, key: &'static str) -> BTreeMap<String, String> {
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
                let expected = "expected the field's name as a string (quote names that contain dots)";
                self.problem(&format!("{key}.{}", entry_name(&name)), expected);
            }
        }
        pairs
    }

    /// A table of JSON values. A date becomes a string.
    pub(in crate::config) fn value_table(
        &mut self,
        key: &'static str,
    ) -> BTreeMap<String, serde_json::Value> {
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
                self.problem(&format!("{key}.{}", entry_name(&name)), expected);
            }
        }
        pairs
    }
}

/// `None` for a table, and for a number that JSON cannot write.
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
