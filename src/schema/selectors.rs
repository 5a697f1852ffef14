//! What an account's selectors tell beyond the choices of its fields: the users' e-mail addresses, the contact
//! statuses of each lifecycle stage, and the default stage and pipeline. A lane reads a selector when an event needs
//! it; mapping uses what is known.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use strum::VariantArray;

/// A list at `/api/selector/{word}` that mapping may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, VariantArray)]
pub enum Selector {
    /// The account's users.
    Owners,
    /// Lifecycle stages with the contact statuses of each.
    LifecycleStages,
    /// Pipelines of deals.
    DealPipelines,
}

impl Selector {
    /// Every selector Freshet reads.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in the API's path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::LifecycleStages => "lifecycle_stages",
            Self::DealPipelines => "deal_pipelines",
        }
    }

    /// The key of the list in the answer.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Owners => "users",
            Self::LifecycleStages | Self::DealPipelines => self.as_str(),
        }
    }
}

/// The account's users, by e-mail address in lower case.
#[derive(Clone, Default, PartialEq)]
pub struct Owners(BTreeMap<String, i64>);

impl Owners {
    /// The id of the user with this address; its case does not matter.
    pub fn id(&self, address: &str) -> Option<i64> {
        self.0.get(&address.trim().to_lowercase()).copied()
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the addresses, which are personal data.
        write!(f, "{} owners", self.0.len())
    }
}

/// The id of the parent of each choice of a field, by the choice's id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parents(BTreeMap<i64, i64>);

impl Parents {
    /// The parent of this choice, if it is known.
    pub fn of(&self, choice: i64) -> Option<i64> {
        self.0.get(&choice).copied()
    }
}

impl FromIterator<(i64, i64)> for Parents {
    fn from_iter<Pairs: IntoIterator<Item = (i64, i64)>>(pairs: Pairs) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// The account's lifecycle stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stages {
    /// The stage of each contact status.
    pub statuses: Parents,
    /// The stage of new contacts for which none is given.
    pub default: Option<i64>,
}

/// What is known of an account's selectors. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    /// Its users, once they are read.
    pub owners: Option<Arc<Owners>>,
    /// Its lifecycle stages, once they are read.
    pub stages: Option<Arc<Stages>>,
    /// The pipeline of new deals for which none is given. `None` if pipelines are not read, `Some(None)` if the
    /// account has no default.
    pub pipeline: Option<Option<i64>>,
}

impl Selectors {
    /// Whether a selector has been read.
    pub fn knows(&self, selector: Selector) -> bool {
        match selector {
            Selector::Owners => self.owners.is_some(),
            Selector::LifecycleStages => self.stages.is_some(),
            Selector::DealPipelines => self.pipeline.is_some(),
        }
    }

    /// Reads an answer row by row, so that one malformed row does not cost the others. Returns false, and keeps what
    /// was known, if the answer has no list or only malformed rows.
    pub fn read(&mut self, selector: Selector, answer: &Value) -> bool {
        let Some(listed) = answer.get(selector.key()).and_then(Value::as_array) else { return false };
        let rows: Vec<(i64, &Value)> =
            listed.iter().filter_map(|row| Some((id(row.get("id")?)?, row))).collect();
        if rows.is_empty() && !listed.is_empty() {
            return false;
        }
        let is = |row: &Value, key: &str| row.get(key).and_then(Value::as_bool) == Some(true);
        let default =
            || rows.iter().find(|(_, row)| is(row, "default") || is(row, "is_default")).map(|(id, _)| *id);
        match selector {
            Selector::Owners => {
                let addresses = rows.iter().filter_map(|(id, row)| {
                    let address = row.get("email")?.as_str()?.trim().to_lowercase();
                    (!address.is_empty()).then_some((address, *id))
                });
                self.owners = Some(Arc::new(Owners(addresses.collect())));
            }
            Selector::LifecycleStages => {
                let children = |(stage, row): &(i64, &Value)| {
                    let statuses = row.get("contact_status_ids").and_then(Value::as_array);
                    let stage = *stage;
                    let ids: Vec<_> = statuses.into_iter().flatten().filter_map(id).collect();
                    ids.into_iter().map(move |status| (status, stage))
                };
                let statuses = rows.iter().flat_map(children).collect();
                self.stages = Some(Arc::new(Stages { statuses, default: default() }));
            }
            Selector::DealPipelines => self.pipeline = Some(default()),
        }
        true
    }
}

/// Accounts write ids as numbers or as digits in a string.
pub(super) fn id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_that_cannot_be_read_leave_the_others_in_use() {
        let mut selectors = Selectors::default();
        let users = json!({"users": [
            {"id": 1, "email": " Ada@X.com "}, {"id": "2", "email": "bob@x.com"}, {"id": 3, "email": null}, {"id": 4},
            {"email": "no@x.com"}, 5, null, {"id": [], "email": "odd@x.com"},
        ]});
        assert!(selectors.read(Selector::Owners, &users));
        let owners = selectors.owners.clone().unwrap();
        assert_eq!(["ada@x.com", "BOB@x.com ", "no@x.com"].map(|to| owners.id(to)), [Some(1), Some(2), None]);
        assert!(!format!("{selectors:?}").contains("x.com"));
        let stages = json!({"lifecycle_stages": [
            {"id": 7, "default": false, "contact_status_ids": [71, "72", null]}, {"id": 8, "contact_status_ids": "none"},
            {"id": 9, "default": true},
        ]});
        assert!(selectors.read(Selector::LifecycleStages, &stages));
        let stages = selectors.stages.clone().unwrap();
        assert_eq!([71, 72, 73].map(|status| stages.statuses.of(status)), [Some(7), Some(7), None]);
        assert_eq!(stages.default, Some(9));
        assert!(
            selectors
                .read(Selector::DealPipelines, &json!({"deal_pipelines": [{"id": 5, "is_default": true}]}))
        );
        assert_eq!(selectors.pipeline, Some(Some(5)));
    }

    #[test]
    fn an_answer_that_is_no_list_takes_nothing_away() {
        for selector in Selector::ALL {
            let mut selectors = Selectors::default();
            assert!(selectors.read(*selector, &json!({selector.key(): [{"id": 1, "email": "a@x.com"}]})));
            for odd in
                [json!(null), json!({}), json!({selector.key(): {}}), json!({selector.key(): ["x", {}]})]
            {
                assert!(!selectors.read(*selector, &odd), "{selector:?} {odd}");
                assert!(selectors.knows(*selector));
            }
        }
    }
}
