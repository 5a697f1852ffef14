//! What a configuration file says, key by key, so that two readings of it can be compared. Keeps no values: one may be a
//! password.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use toml::{Table, Value};

use super::reader::Environment;
use super::source::shown_key;

/// The hash of each value, by key.
type Keys = BTreeMap<String, u64>;

/// One reading of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenKeys {
    /// With their sections: `broker.url`.
    outside: Keys,
    /// By the account's name.
    accounts: BTreeMap<String, Keys>,
}

impl WrittenKeys {
    /// Of a file without mistakes; nothing of any other. What the environment overrides is left out.
    pub(in crate::config) fn of(text: &str, environment: Environment<'_>) -> Self {
        let mut written = Self::default();
        for (section, value) in text.parse::<Table>().unwrap_or_default() {
            if let Value::Table(table) = &value {
                let overridden = |key: &str| {
                    let variable = format!("FRESHET_{section}_{key}").to_uppercase();
                    environment(&variable).is_some()
                };
                let keys = table.iter().filter(|(key, _)| !overridden(key));
                let keys = keys.map(|(key, value)| (format!("{section}.{}", shown_key(key)), hash(value)));
                written.outside.extend(keys);
            } else if let Value::Array(accounts) = &value {
                for account in accounts.iter().filter_map(Value::as_table) {
                    let name = account.get("name").and_then(Value::as_str).unwrap_or_default();
                    let keys = account.iter().map(|(key, value)| (shown_key(key), hash(value)));
                    written.accounts.insert(name.to_owned(), keys.collect());
                }
            }
        }
        written
    }

    /// Whether the file has a key outside `[[accounts]]`, which the environment does not override.
    pub fn has(&self, key: &str) -> bool {
        self.outside.contains_key(key)
    }

    /// Twelve hexadecimal digits: the same on all replicas of one build whose files say the same, whatever their names.
    pub fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for (key, value) in self.outside.iter().filter(|(key, _)| *key != "broker.replica") {
            (key, value).hash(&mut hasher);
        }
        self.accounts.hash(&mut hasher);
        format!("{:012x}", hasher.finish() >> 16)
    }

    /// The keys outside `[[accounts]]` that differ, with their sections.
    pub fn other_keys(&self, other: &Self) -> Vec<String> {
        differing(&self.outside, &other.outside)
    }

    /// The keys of an account that differ.
    pub fn other_keys_of(&self, other: &Self, account: &str) -> Vec<String> {
        let none = Keys::new();
        let of = |written: &'_ Self| written.accounts.get(account).cloned();
        differing(&of(self).unwrap_or_else(|| none.clone()), &of(other).unwrap_or(none))
    }
}

fn differing(one: &Keys, other: &Keys) -> Vec<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> WrittenKeys {
        WrittenKeys::of(text, &|name| (name == "FRESHET_BROKER_URL").then(|| "amqp://x".to_owned()))
    }

    #[test]
    fn the_keys_that_differ_are_named_and_no_value_is() {
        let before = of("[broker]\nurl = \"amqp://u:p1@x\"\nprefetch = 4\n[log]\nlevel = \"info\"\n\
             [[accounts]]\nname = \"acme\"\nplan = \"pro\"\nevents = [\"track\"]\n[accounts.fields]\na = \"b\"\n\
             [[accounts]]\nname = \"globex\"\n");
        let after = of("[broker]\nurl = \"amqp://u:p2@x\"\nprefetch = 5\n[http]\nlisten = \"[::]:1\"\n\
             [log]\nlevel = \"info\"\n\
             [[accounts]]\nname = \"globex\"\n\
             [[accounts]]\nname = \"acme\"\nevents = [ \"track\" ] # the same\n[accounts.fields]\na = \"c\"\n");
        // The environment decides about `broker.url`.
        assert_eq!(before.other_keys(&after), ["broker.prefetch", "http.listen"]);
        assert_eq!(before.other_keys_of(&after, "acme"), ["fields", "plan"]);
        assert!(before.other_keys_of(&after, "globex").is_empty());
        assert!(!format!("{before:?}{after:?}").contains("p1"));
    }
}
